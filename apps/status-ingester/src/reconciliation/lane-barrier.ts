/**
 * A barrier for the lane: publishes a marker and waits until it comes back through the lane. By then everything that the
 * broker accepted before has come through too, so a reading never overtakes the live messages before it.
 *
 * With several lanes the order is not guaranteed anyway, so the barrier does nothing: an event may be emitted twice, and
 * the next live message through another lane requests a verification.
 */
import type { Publisher } from '@app/broker';
import { backoffMs, counter, pause, within, type Logger } from '@app/platform';
import { markerText, type ExpectedMarker, type LaneMarkers } from '../intake/lane-markers.js';

const passes = counter('lane_barriers', 'Waits for the lane to come up to what was read, by outcome.', {
  outcome: ['passed', 'given-up'],
});

/** The lane may change its owner, have a backlog, or have lost the broker. After this time the reading is applied anyway. */
export const BARRIER_TIMEOUT_MS = 60_000;
/** A marker may be lost like any other message, so it is published again after this. */
export const BARRIER_REPEAT_MS = 1000;

export interface BarrierDependencies {
  publisher: Pick<Publisher, 'publish'>;
  markers: Pick<LaneMarkers, 'expect' | 'wasNoted'>;
  /** Whether this process holds the lane, so that the marker comes back here. */
  holdsLane: () => boolean;
  /** The service's own topic, to which the lanes are subscribed. */
  topic: string;
  lanes: number;
  logger: Logger;
}

/** A marker that was published, and how many callers wait for it. */
interface Round {
  passed: Promise<void>;
  waiting: number;
  /** Aborted when the round has ended, or when its last caller has stopped waiting. */
  over: AbortController;
}

export class LaneBarrier {
  private current: Promise<void> = Promise.resolve();
  private next: Round | undefined;

  constructor(private readonly dependencies: BarrierDependencies) {}

  /** Callers that wait at the same time share one marker. Rejects only if `signal` is aborted. */
  async pass(signal: AbortSignal): Promise<void> {
    if (this.dependencies.lanes > 1) return;
    if (this.next === undefined || this.next.over.signal.aborted) this.next = this.plan();
    const round = this.next;
    round.waiting++;
    const done = new AbortController();
    try {
      await Promise.race([round.passed, whenAborted(signal, done.signal)]);
    } finally {
      done.abort();
      round.waiting--;
      if (round.waiting === 0) round.over.abort();
    }
  }

  /** A round that begins when the current one is over. */
  private plan(): Round {
    const over = new AbortController();
    const passed = this.current.then(() => {
      if (this.next?.over === over) this.next = undefined;
      return this.once(over);
    });
    this.current = passed;
    return { passed, waiting: 0, over };
  }

  private async once(over: AbortController): Promise<void> {
    const { markers, logger } = this.dependencies;
    const { signal } = over;
    const marker = markers.expect();
    const isBack = await this.publishUntilBack(marker, signal).finally(() => marker.forget());
    if (!isBack && signal.aborted) return;
    over.abort();
    passes.inc({ outcome: isBack ? 'passed' : 'given-up' });
    if (!isBack) logger.warn('the lane does not come up to what was read from the broker; going on without');
  }

  /** @returns whether it came back before it was given up */
  private async publishUntilBack(marker: ExpectedMarker, signal: AbortSignal): Promise<boolean> {
    const { publisher, topic, logger } = this.dependencies;
    const end = performance.now() + BARRIER_TIMEOUT_MS;
    let isPublishing = false;
    // A broker that does not answer gets no second marker: each would take a place among the publishes under way.
    const publish = async (): Promise<void> => {
      if (isPublishing) return;
      isPublishing = true;
      try {
        await publisher.publish(topic, markerText(marker.id), { signal });
      } catch (error) {
        logger.warn({ err: error }, 'a marker for the lane could not be published; trying again');
      } finally {
        isPublishing = false;
      }
    };
    while (!signal.aborted && performance.now() < end) {
      void publish();
      try {
        if (await this.cameBack(marker, Math.min(end, performance.now() + BARRIER_REPEAT_MS), signal)) return true;
      } catch (error) {
        logger.warn({ err: error }, 'a marker for the lane failed; trying again');
        await pause(BARRIER_REPEAT_MS, signal);
      }
    }
    return false;
  }

  /**
   * Redis is asked from time to time only while another process holds the lane: that process notes the marker there and
   * cannot notify this one. If this process holds the lane, it is asked once, since the lane may just have been taken over.
   */
  private async cameBack(marker: ExpectedMarker, until: number, signal: AbortSignal): Promise<boolean> {
    const { markers, holdsLane } = this.dependencies;
    for (let attempt = 0; !signal.aborted && performance.now() < until; attempt++) {
      const waitMs = holdsLane() ? until - performance.now() : backoffMs(attempt, 4, 100);
      if (await within(waitMs, marker.cameBack, signal)) return true;
      if (await markers.wasNoted(marker.id)) return true;
    }
    return false;
  }
}

/** `done` ends the wait without an answer. */
function whenAborted(signal: AbortSignal, done: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const abort = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true, signal: done });
  });
}
