/**
 * Finds lanes to which the broker delivers nothing any more, although they are connected: it has stalled or forgotten their
 * shared subscription. From time to time a marker is published below each filter by which messages of clients come. If no
 * lane receives it, the lanes held here that have received nothing since then are connected again.
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
  /** From the end of one marker to the next. */
  everyMs: number;
  /** From the PUBACK of a marker. Another process may have to take over the lane that it waits in. */
  answerMs: number;
}

export type WatchedLane = Pick<Lane, 'grant' | 'activity' | 'connected' | 'reconnect'>;

export interface LaneWatchParts {
  publisher: Pick<Publisher, 'publish'>;
  markers: Pick<LaneMarkers, 'expect' | 'wasNoted'>;
  templates: readonly TopicTemplate[];
  timing: LaneWatchTiming;
  /** The lanes held here that serve. */
  lanes: () => readonly WatchedLane[];
  laneCount: number;
  logger: Logger;
}

/**
 * `unheard`: the broker says that nobody is subscribed. `failed`: it was asked, and ended the connection or refused.
 * `unknown`: anything else.
 */
type Outcome = 'returned' | 'lost' | 'unheard' | 'refused' | 'failed' | 'unknown';

/** Longest pause after markers that failed. */
const LONGEST_PAUSE_MS = 300_000;

export class LaneWatch {
  private readonly stalled = new Set<string>();
  private readonly refused = new Set<string>();
  private readonly stopping = sharedAbort();

  constructor(private readonly parts: LaneWatchParts) {
    for (let lane = 0; lane < parts.laneCount; lane++) stalls.inc({ lane }, 0);
  }

  start(): void {
    for (const template of this.parts.templates) void this.watch(template);
  }

  stop(): void {
    this.stopping.abort();
  }

  /** Filters by which nothing came when it was last tried. */
  get stalledFilters(): string[] {
    return [...this.stalled];
  }

  /** Topics on which the broker lets no marker be published: what comes by their filters is not watched. */
  get refusedTopics(): string[] {
    return [...this.refused];
  }

  private async watch(template: TopicTemplate): Promise<void> {
    const { ownTopic, filter } = template;
    if (ownTopic === undefined) return;
    const { signal } = this.stopping;
    const { everyMs } = this.parts.timing;
    let failures = 0;
    // Some brokers end the connection on a publish that they do not allow: that must not happen every few seconds.
    while (await pause(Math.min(everyMs * 2 ** failures, LONGEST_PAUSE_MS), signal)) {
      const lanes = this.parts.lanes();
      if (lanes.length === 0) this.stalled.delete(filter);
      // A marker that comes before the first subscription is lost, and would be waited for.
      if (!lanes.some(({ connected }) => connected)) continue;
      const begunAt = performance.now();
      const { outcome, since } = await this.tryOnce(ownTopic, begunAt);
      failures = outcome === 'failed' ? failures + 1 : 0;
      if (outcome === 'returned') this.stalled.delete(filter);
      else if (outcome === 'lost' || outcome === 'unheard') this.reconnectSilent(template, since);
      else if (outcome === 'refused') {
        // Tried no more: brokers may end the connection for it.
        this.refused.add(ownTopic);
        return;
      }
    }
  }

  private async tryOnce(topic: string, begunAt: number): Promise<{ outcome: Outcome; since: number }> {
    const { publisher, markers, timing, logger } = this.parts;
    const { signal } = this.stopping;
    const marker = markers.expect();
    try {
      const until = begunAt + timing.answerMs;
      const published = await publisher.publish(topic, markerText(marker.id), {
        expiresAt: until,
        writeBy: until,
        signal,
      });
      const since = published.kind === 'acknowledged' ? performance.now() : begunAt;
      if (published.kind === 'unheard') return { outcome: 'unheard', since };
      if (published.kind === 'refused' && published.forGood) {
        logger.warn(
          { topic, details: published.details },
          'the broker does not let this process publish its marker: lanes are not watched by it',
        );
        return { outcome: 'refused', since };
      }
      if (published.kind === 'refused' || published.kind === 'unknown') return { outcome: 'failed', since };
      if (published.kind !== 'acknowledged') return { outcome: 'unknown', since };
      if (await within(timing.answerMs, marker.cameBack, signal)) return { outcome: 'returned', since };
      if (signal.aborted) return { outcome: 'unknown', since };
      return { outcome: (await markers.wasNoted(marker.id)) ? 'returned' : 'lost', since };
    } catch (error) {
      if (!signal.aborted) logger.warn({ err: error }, 'a marker for the watch over the lanes failed; trying again');
      return { outcome: 'unknown', since: begunAt };
    } finally {
      marker.forget();
    }
  }

  private reconnectSilent(template: TopicTemplate, since: number): void {
    for (const lane of this.parts.lanes()) {
      if (!lane.activity.isSilentSince(template, since)) continue;
      const { index, epoch } = lane.grant;
      this.stalled.add(template.filter);
      stalls.inc({ lane: index });
      this.parts.logger.warn(
        { lane: index, epoch, filter: template.filter, silent_ms: Math.round(performance.now() - since) },
        'a marker did not come back: the broker delivers nothing to the lane; connecting it again',
      );
      lane.reconnect();
    }
  }
}
