/**
 * A barrier for the lane: publishes a marker and waits until it comes back through the lane. By then everything that the broker
 * accepted before the marker has come through. So what was read from the broker never overtakes earlier live messages.
 *
 * With several lanes the order is not guaranteed anyway, so the barrier does nothing: an event may be emitted twice, and
 * the next live message through another lane requests a verification.
 */
import { sentinelRemedy, type Publisher } from '@app/broker';
import { backoffMs, counter, pause, within, type Logger } from '@app/platform';
import { markerText, type ExpectedMarker, type LaneMarkers } from '../intake/lane-markers.js';

const passes = counter('lane_barriers', 'Waits for a marker to come back through the lane, by outcome.', {
  outcome: ['passed', 'given-up'],
});

/** Longest wait: the lane may have a backlog, change its owner or lose the broker. After it the reading is applied anyway. */
export const BARRIER_TIMEOUT_MS = 60_000;
/** Time after which another marker is published: a marker may be lost like any other message. */
export const BARRIER_REPEAT_MS = 1000;

export interface BarrierDependencies {
  publisher: Pick<Publisher, 'publish'>;
  markers: Pick<LaneMarkers, 'expect' | 'wasNoted'>;
  /** Whether this process owns the lane, so that the marker comes back here. */
  ownsLane: () => boolean;
  /** Topic of the service to which the lanes are subscribed. */
  topic: string;
  lanes: number;
  logger: Logger;
}

/** A published marker, and the number of callers that wait for it. */
interface Round {
  passed: Promise<void>;
  waiting: number;
  /** Aborted when the round has ended, or no caller waits any more. */
  ended: AbortController;
}

export class LaneBarrier {
  private current: Promise<void> = Promise.resolve();
  private next: Round | undefined;
  /** Whether a refusal was logged, since the broker took a marker. */
  private isRefusalKnown = false;

  constructor(private readonly dependencies: BarrierDependencies) {}

  /** Callers that wait at the same time share one marker. Rejects only if `signal` is aborted. */
  async pass(signal: AbortSignal): Promise<void> {
    if (this.dependencies.lanes > 1) return;
    if (this.next === undefined || this.next.ended.signal.aborted) this.next = this.plan();
    const round = this.next;
    round.waiting++;
    const done = new AbortController();
    try {
      await Promise.race([round.passed, whenAborted(signal, done.signal)]);
    } finally {
      done.abort();
      round.waiting--;
      if (round.waiting === 0) round.ended.abort();
    }
  }

  /** Plans a round that begins when the current one has ended. */
  private plan(): Round {
    const ended = new AbortController();
    const passed = this.current.then(() => {
      if (this.next?.ended === ended) this.next = undefined;
      return this.runRound(ended);
    });
    this.current = passed;
    return { passed, waiting: 0, ended };
  }

  private async runRound(ended: AbortController): Promise<void> {
    const { markers, topic, logger } = this.dependencies;
    const { signal } = ended;
    const marker = markers.expect();
    const isBack = await this.publishUntilBack(marker, signal).finally(() => marker.forget());
    if (!isBack && signal.aborted) return;
    ended.abort();
    passes.inc({ outcome: isBack ? 'passed' : 'given-up' });
    if (!isBack)
      logger.warn(
        'no marker came back through the lane: applying what was read from the broker without waiting for the lane; if this ' +
          `happens again and again, ${sentinelRemedy(topic)}`,
      );
  }

  private warnOfRefusal(details: string): void {
    if (this.isRefusalKnown) return;
    this.isRefusalKnown = true;
    const { topic, logger } = this.dependencies;
    logger.warn({ topic, details }, `the broker refused a marker of the lane on ${topic}: ${sentinelRemedy(topic)}`);
  }

  /** @returns whether the marker came back in time */
  private async publishUntilBack(marker: ExpectedMarker, signal: AbortSignal): Promise<boolean> {
    const { publisher, topic, logger } = this.dependencies;
    const end = performance.now() + BARRIER_TIMEOUT_MS;
    let isPublishing = false;
    // Not while a publish is pending: if the broker does not answer, each marker would use up one of the pending publishes.
    const publish = async (): Promise<void> => {
      if (isPublishing) return;
      isPublishing = true;
      try {
        const outcome = await publisher.publish(topic, markerText(marker.id), { signal });
        if (outcome.kind !== 'refused') this.isRefusalKnown = false;
        else if (outcome.permanent) this.warnOfRefusal(outcome.details);
      } catch (error) {
        logger.warn({ err: error }, 'could not publish a marker to the lane; trying again');
      } finally {
        isPublishing = false;
      }
    };
    while (!signal.aborted && performance.now() < end) {
      void publish();
      try {
        if (await this.cameBack(marker, Math.min(end, performance.now() + BARRIER_REPEAT_MS), signal)) return true;
      } catch (error) {
        logger.warn({ err: error }, 'could not read from Redis whether a marker came back; trying again');
        await pause(BARRIER_REPEAT_MS, signal);
      }
    }
    return false;
  }

  /**
   * While another process owns the lane, that process notes the marker in Redis, which is polled here. If this process owns
   * the lane, Redis is asked once at the end: the lane may have changed its owner in between.
   */
  private async cameBack(marker: ExpectedMarker, until: number, signal: AbortSignal): Promise<boolean> {
    const { markers, ownsLane } = this.dependencies;
    for (let attempt = 0; !signal.aborted && performance.now() < until; attempt++) {
      const waitMs = ownsLane() ? until - performance.now() : backoffMs(attempt, 4, 100);
      if (await within(waitMs, marker.cameBack, signal)) return true;
      if (await markers.wasNoted(marker.id)) return true;
    }
    return false;
  }
}

/** Rejects when `signal` is aborted. `done` removes the listener. */
function whenAborted(signal: AbortSignal, done: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const abort = (): void => reject(signal.reason instanceof Error ? signal.reason : new Error('aborted'));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true, signal: done });
  });
}
