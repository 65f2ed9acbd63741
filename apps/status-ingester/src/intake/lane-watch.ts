/**
 * Finds stalled lanes: they are connected, but the broker has stalled or lost their shared subscription. A marker is
 * published regularly on a topic that matches each filter. If no lane receives it, the lanes of this process that have
 * received nothing by the filter since then are connected again. A broker may give all markers to one of several lanes, or
 * allow none: a lane that they do not prove alive is checked when it has been quiet for some time (ADR 0040).
 */
import type { Publisher } from '@app/broker';
import { pause, sharedAbort, within, type Logger } from '@app/platform';
import type { TopicTemplate } from '@app/protocol';
import type { Lane } from './lane.js';
import type { QuietTiming } from './lane-activity.js';
import { NO_RECONNECTS, mayReconnect, oneMore, pauseAfter } from './lane-pauses.js';
import { markerText, type LaneMarkers } from './lane-markers.js';

export interface LaneWatchTiming extends QuietTiming {
  /** Pause between two markers of a filter. */
  everyMs: number;
  /** Longest time from the PUBACK of a marker until it comes back. Its lane may have to be taken over in between. */
  returnMs: number;
}

export type WatchedLane = Pick<Lane, 'grant' | 'activity' | 'connected' | 'reconnect' | 'checkQuiet'>;

export interface LaneWatchDependencies {
  publisher: Pick<Publisher, 'publish'>;
  markers: Pick<LaneMarkers, 'expect' | 'wasNoted'>;
  templates: readonly TopicTemplate[];
  timing: LaneWatchTiming;
  /** The serving lanes of this process. */
  lanes: () => readonly WatchedLane[];
  laneCount: number;
  logger: Logger;
}

/**
 * `no-subscribers`: the broker says that nobody is subscribed. `refused`: it will never take a marker on this topic.
 * `failed`: it refused this marker, or ended the connection. `unknown`: anything else.
 */
type Outcome = 'returned' | 'lost' | 'no-subscribers' | 'refused' | 'failed' | 'unknown';

export class LaneWatch {
  private readonly stalled = new Set<string>();
  private readonly refused = new Set<string>();
  private readonly stopping = sharedAbort();

  constructor(private readonly dependencies: LaneWatchDependencies) {}

  start(): void {
    for (const template of this.dependencies.templates) void this.watch(template);
    void this.checkQuietLanes();
  }

  stop(): void {
    this.stopping.abort();
  }

  /** Filters whose last marker did not come back. */
  get stalledFilters(): string[] {
    return [...this.stalled];
  }

  /** Topics on which the broker does not allow markers. */
  get refusedTopics(): string[] {
    return [...this.refused];
  }

  private async watch(template: TopicTemplate): Promise<void> {
    const { ownTopic, filter } = template;
    if (ownTopic === undefined) return;
    const { signal } = this.stopping;
    const { everyMs } = this.dependencies.timing;
    let failures = 0;
    let reconnects = NO_RECONNECTS;
    // Some brokers end the connection when a publish is not allowed. That must not happen every few seconds.
    while (await pause(pauseAfter(failures, everyMs), signal)) {
      const lanes = this.dependencies.lanes();
      if (lanes.length === 0) this.stalled.delete(filter);
      // Without a subscription the marker would be lost.
      if (!lanes.some(({ connected }) => connected)) continue;
      const { outcome, since } = await this.probe(ownTopic, performance.now());
      failures = outcome === 'failed' ? failures + 1 : 0;
      if (outcome === 'returned') {
        this.stalled.delete(filter);
        reconnects = NO_RECONNECTS;
      } else if (outcome === 'lost' || outcome === 'no-subscribers') {
        const now = performance.now();
        const isReconnected = this.handleLost(template, since, mayReconnect(reconnects, now, everyMs));
        if (isReconnected) reconnects = oneMore(reconnects, now);
      } else if (outcome === 'refused') {
        // Gives up: brokers may end the connection for another try.
        this.refused.add(ownTopic);
        return;
      }
    }
  }

  /** Publishes one marker and waits for it. `since`: when the lanes should have received it. */
  private async probe(topic: string, begunAt: number): Promise<{ outcome: Outcome; since: number }> {
    const { publisher, markers, timing, logger } = this.dependencies;
    const { signal } = this.stopping;
    const marker = markers.expect();
    try {
      const until = begunAt + timing.returnMs;
      const published = await publisher.publish(topic, markerText(marker.id), {
        expiresAt: until,
        writeBy: until,
        signal,
      });
      const since = published.kind === 'acknowledged' ? performance.now() : begunAt;
      if (published.kind === 'no-subscribers') return { outcome: 'no-subscribers', since };
      if (published.kind === 'refused' && published.permanent) {
        logger.warn(
          { topic, details: published.details },
          'the broker does not let this process publish a marker: the lanes are not watched; allow the topic in its ACL',
        );
        return { outcome: 'refused', since };
      }
      if (published.kind === 'refused' || published.kind === 'unknown') return { outcome: 'failed', since };
      if (published.kind !== 'acknowledged') return { outcome: 'unknown', since };
      if (await within(timing.returnMs, marker.cameBack, signal)) return { outcome: 'returned', since };
      if (signal.aborted) return { outcome: 'unknown', since };
      return { outcome: (await markers.wasNoted(marker.id)) ? 'returned' : 'lost', since };
    } catch (error) {
      if (!signal.aborted)
        logger.warn({ err: error }, 'the lane watch could not publish or find its marker; trying again');
      return { outcome: 'unknown', since: begunAt };
    } finally {
      marker.forget();
    }
  }

  /** @returns whether lanes were connected again */
  private handleLost(template: TopicTemplate, since: number, isDue: boolean): boolean {
    const { lanes, logger } = this.dependencies;
    const silent = lanes().filter(({ activity }) => activity.isSilentSince(template, since));
    if (silent.length > 0) this.stalled.add(template.filter);
    else if (lanes().every(({ activity }) => activity.hasReceivedSince(template, since)))
      this.stalled.delete(template.filter);
    if (!isDue) return false;
    for (const lane of silent) {
      const { index, epoch } = lane.grant;
      logger.warn(
        { lane: index, epoch, filter: template.filter, silent_ms: Math.round(performance.now() - since) },
        'a marker did not come back: the broker delivers nothing to the lane; connecting it again',
      );
      lane.reconnect(template);
    }
    return silent.length > 0;
  }

  private async checkQuietLanes(): Promise<void> {
    const { templates, lanes, timing, logger } = this.dependencies;
    while (await pause(timing.everyMs, this.stopping.signal)) {
      const toCheck = templates.filter((template) => !this.areProvenByMarkers(template));
      if (toCheck.length === 0) continue;
      for (const lane of lanes()) {
        const { activity, grant } = lane;
        const quiet = toCheck.filter((template) => activity.isCheckDue(template, performance.now(), timing));
        if (quiet.length === 0) continue;
        logger.info(
          { lane: grant.index, epoch: grant.epoch, filters: quiet.map(({ filter }) => filter) },
          'the lane has received nothing for some time; connecting it again to see whether messages wait for it',
        );
        activity.checked(quiet, timing);
        lane.checkQuiet(quiet);
      }
    }
  }

  /** Whether a marker that comes back shows that each lane receives what matches the filter. */
  private areProvenByMarkers({ ownTopic }: TopicTemplate): boolean {
    return this.dependencies.laneCount === 1 && ownTopic !== undefined && !this.refused.has(ownTopic);
  }
}
