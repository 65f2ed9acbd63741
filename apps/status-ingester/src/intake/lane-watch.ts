/**
 * Finds stalled lanes: they are connected, but the broker has stalled or lost their shared subscription. A marker is
 * published regularly on a topic that matches each filter. If no lane receives it, the lanes of this process that have
 * received nothing by the filter since then are connected again.
 */
import type { Publisher } from '@app/broker';
import { counter, OPEN, pause, sharedAbort, within, type Logger } from '@app/platform';
import type { TopicTemplate } from '@app/protocol';
import type { Lane } from './lane.js';
import { markerText, type LaneMarkers } from './lane-markers.js';

const stalls = counter(
  'lane_stalls',
  'Times a lane was connected again because a marker published below its topics did not come back.',
  { lane: OPEN },
);

export interface LaneWatchTiming {
  /** Pause between two markers of a filter. */
  everyMs: number;
  /** Longest time from the PUBACK of a marker until it comes back. Its lane may have to be taken over in between. */
  returnMs: number;
}

export type WatchedLane = Pick<Lane, 'grant' | 'activity' | 'connected' | 'reconnect'>;

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

/** The pause doubles with each marker that fails, up to this. */
const LONGEST_PAUSE_MS = 300_000;

export class LaneWatch {
  private readonly stalled = new Set<string>();
  private readonly refused = new Set<string>();
  private readonly stopping = sharedAbort();

  constructor(private readonly dependencies: LaneWatchDependencies) {
    for (let lane = 0; lane < dependencies.laneCount; lane++) stalls.inc({ lane }, 0);
  }

  start(): void {
    for (const template of this.dependencies.templates) void this.watch(template);
  }

  stop(): void {
    this.stopping.abort();
  }

  /** Filters whose last marker did not come back. */
  get stalledFilters(): string[] {
    return [...this.stalled];
  }

  /** Topics on which the broker does not allow markers: their filters are not watched. */
  get refusedTopics(): string[] {
    return [...this.refused];
  }

  private async watch(template: TopicTemplate): Promise<void> {
    const { ownTopic, filter } = template;
    if (ownTopic === undefined) return;
    const { signal } = this.stopping;
    const { everyMs } = this.dependencies.timing;
    let failures = 0;
    // Some brokers end the connection when a publish is not allowed. That must not happen every few seconds.
    while (await pause(Math.min(everyMs * 2 ** failures, LONGEST_PAUSE_MS), signal)) {
      const lanes = this.dependencies.lanes();
      if (lanes.length === 0) this.stalled.delete(filter);
      // Without a subscription the marker would be lost.
      if (!lanes.some(({ connected }) => connected)) continue;
      const { outcome, since } = await this.probe(ownTopic, performance.now());
      failures = outcome === 'failed' ? failures + 1 : 0;
      if (outcome === 'returned') this.stalled.delete(filter);
      else if (outcome === 'lost' || outcome === 'no-subscribers') this.reconnectSilent(template, since);
      else if (outcome === 'refused') {
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

  private reconnectSilent(template: TopicTemplate, since: number): void {
    for (const lane of this.dependencies.lanes()) {
      if (!lane.activity.isSilentSince(template, since)) continue;
      const { index, epoch } = lane.grant;
      this.stalled.add(template.filter);
      stalls.inc({ lane: index });
      this.dependencies.logger.warn(
        { lane: index, epoch, filter: template.filter, silent_ms: Math.round(performance.now() - since) },
        'a marker did not come back: the broker delivers nothing to the lane; connecting it again',
      );
      lane.reconnect(template);
    }
  }
}
