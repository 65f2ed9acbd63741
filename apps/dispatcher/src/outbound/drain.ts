/**
 * A drain run of a shard: it takes ready connections, claims and publishes the head of each outbox, and completes the published
 * message in the same step that claims the next one. Each connection has one publish in flight at a time. An interrupted publish
 * leaves its message to the next run, which publishes it again. Outcomes that arrive during a step are completed by the next step,
 * so steps become larger under load.
 * While Redis is away, a run waits. While this process has no connection to the broker, it claims nothing, so that other
 * dispatchers can; messages that it has claimed are put back.
 */
import type { Publisher, PublishOutcome } from '@app/broker';
import { backoffMs, counter, gauge, isRedisError, pause, secondsHistogram, type Logger, valuesOf } from '@app/platform';
import { encodeMessage, type TopicTemplate } from '@app/protocol';
import {
  DRAIN_ENDS,
  type ClaimedMessage,
  type DrainState,
  type DrainStep,
  type Outboxes,
  type Settlement,
} from '@app/registry';
import { CLAIM_MS, LATE_MS, RUN_MS } from './outbound-times.js';
import type { Semaphore } from './semaphore.js';

const drains = counter('drains', 'Drains of an outbox, by how they ended.', {
  end: [...DRAIN_ENDS, 'superseded'],
});
const draining = gauge('connections_draining', 'Connections with a message that is being published.');
const OUTCOMES = valuesOf<Settlement['outcome']>({
  sent: true,
  'no-subscribers': true,
  retry: true,
  late: true,
  failed: true,
});
const settled = counter('publish_results', 'Publishes of messages, by outcome.', { outcome: OUTCOMES });
const publishTime = secondsHistogram('publish_duration', 'Time from PUBLISH to PUBACK.');
const unreadable = counter('unreadable_messages', 'Stored messages that could not be read and have failed.');
const sentAfter = secondsHistogram(
  'message_sent_after',
  'Time from the acceptance of a message to the PUBACK of its publish.',
);

/** Pauses between tries if Redis refuses a command; if Redis is away, the connection waits. */
const REFUSED_MS = { first: 100, most: 5000 };

/** `interrupted`: there is still work. */
export type RunEnd = 'idle' | 'interrupted' | 'superseded';

export interface DrainParts {
  outboxes: Outboxes;
  publisher: Publisher;
  outTopic: TopicTemplate;
  semaphore: Semaphore;
  logger: Logger;
}

export class DrainRun {
  private name: string | undefined;
  /** Connections that this run has claimed in Redis: being published, or about to be completed. */
  private claimed = 0;
  /** Permits that this run has. */
  private held = 0;
  private publishing = 0;
  private settlements: Settlement[] = [];
  private returned: () => void = () => undefined;
  private isSuperseded = false;
  private isUnanswered = false;
  private endsAt = Infinity;

  constructor(
    private readonly parts: DrainParts,
    private readonly shard: number,
    private readonly signal: AbortSignal,
  ) {}

  async drain(): Promise<RunEnd> {
    if (!(await this.parts.publisher.untilConnected(RUN_MS, this.signal))) return 'interrupted';
    try {
      for (;;) {
        if (this.settlements.length === 0) {
          if (this.publishing > 0) {
            if ((await this.untilReturned()) || !(await this.untilTurn())) continue;
          } else {
            const end = await this.untilPermit();
            if (end !== undefined) return end;
          }
        }
        const kind = await this.step();
        if (kind === undefined) return 'interrupted';
        if (kind === 'idle') return 'idle';
      }
    } finally {
      this.claim(0);
    }
  }

  private hasToEnd(): boolean {
    return this.signal.aborted || performance.now() > this.endsAt || !this.parts.publisher.connected;
  }

  /** Waits until a publish has an outcome. @returns false after `LATE_MS` */
  private async untilReturned(): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const came = await new Promise<boolean>((resolve) => {
      this.returned = () => resolve(true);
      timer = setTimeout(() => resolve(false), LATE_MS);
    });
    clearTimeout(timer);
    // A run cannot end while a publish is pending. If the publish takes too long, extend the run so that other connections of
    // the shard make progress.
    if (!came && performance.now() > this.endsAt + RUN_MS) this.endsAt = performance.now() + RUN_MS;
    return came;
  }

  /** While a publish takes long, a run waits for a permit to serve other connections. @returns false if it must not */
  private async untilTurn(): Promise<boolean> {
    if (this.isSuperseded || this.hasToEnd()) return false;
    const back = new AbortController();
    this.returned = () => back.abort();
    if (!(await this.parts.semaphore.acquireOne(AbortSignal.any([back.signal, this.signal])))) return false;
    this.held++;
    // We just waited for a permit: restart the run's time budget so that the permit gets used.
    if (this.hasToEnd()) this.endsAt = performance.now() + RUN_MS;
    return true;
  }

  /** With no publish in flight, a run needs a permit to continue. @returns why it ends, if it does */
  private async untilPermit(): Promise<RunEnd | undefined> {
    if (this.isSuperseded) return 'superseded';
    const { semaphore } = this.parts;
    // If it is queued again, it waits for its permit before it begins.
    if (this.name !== undefined && (this.hasToEnd() || semaphore.available === 0)) return 'interrupted';
    if (!(await semaphore.acquireOne(this.signal))) return 'interrupted';
    this.held++;
    return undefined;
  }

  /** Completes the outcomes that have arrived, and publishes what it claims. @returns undefined if the run is interrupted */
  private async step(): Promise<DrainStep['kind'] | undefined> {
    const settlements = this.settlements;
    this.settlements = [];
    const had = this.claimed;
    const underWay = had - settlements.length;
    this.hold(this.held + this.parts.semaphore.available);
    const askedAt = performance.now();
    this.endsAt = Math.min(this.endsAt, askedAt + RUN_MS);
    const room = this.hasToEnd() ? 'none-goes-on' : Math.max(0, this.held - had);
    const step = await this.ask({ run: this.name, underWay, room, settlements });
    if (step === undefined) return undefined;
    switch (step.kind) {
      case 'lost':
        this.settlements.unshift(...settlements);
        this.hold(had);
        while (this.publishing > 0) await this.untilReturned();
        this.name = undefined;
        break;
      case 'superseded':
        if (!this.isSuperseded) drains.inc({ end: 'superseded' }, had);
        this.isSuperseded = true;
        this.claim(underWay);
        break;
      default: {
        if (step.unreadable > 0) this.reportUnreadable(step.unreadable);
        for (const end of DRAIN_ENDS) if (step.ends[end] > 0) drains.inc({ end }, step.ends[end]);
        this.claim((this.name === undefined ? 0 : underWay) + step.claimed.length);
        this.name = step.run;
        const isLate = performance.now() - askedAt > CLAIM_MS;
        for (const message of step.claimed) {
          if (isLate) this.settlements.push({ clientId: message.clientId, outcome: 'late' });
          else if (!this.signal.aborted) void this.publish(message, askedAt);
        }
      }
    }
    return step.kind;
  }

  private claim(count: number): void {
    draining.inc(count - this.claimed);
    this.claimed = count;
    this.hold(count);
  }

  private hold(count: number): void {
    const more = count - this.held;
    this.held = count;
    if (more > 0) this.parts.semaphore.acquire(more);
    else if (more < 0) this.parts.semaphore.release(-more);
  }

  /** If Redis does not answer soon, the run gives its permits to other shards, whose Redis may be another one. */
  private async ask(state: DrainState): Promise<DrainStep | undefined> {
    const timer = setTimeout(() => {
      this.isUnanswered = true;
      this.hold(this.publishing);
    }, LATE_MS);
    try {
      return await this.untilAnswered(state);
    } finally {
      clearTimeout(timer);
      this.isUnanswered = false;
    }
  }

  private async untilAnswered(state: DrainState): Promise<DrainStep | undefined> {
    const { outboxes, logger } = this.parts;
    for (let tries = 0; ; tries++) {
      try {
        return await outboxes.step(this.shard, state);
      } catch (error) {
        if (!isRedisError(error)) throw error;
        if (this.signal.aborted) return undefined;
        const waitMs = backoffMs(tries, REFUSED_MS.first, REFUSED_MS.most);
        logger.warn(
          { err: error, shard: this.shard, wait_ms: waitMs },
          'Redis refused a step of a drain run; trying again',
        );
        await pause(waitMs, this.signal);
      }
    }
  }

  private async publish(message: ClaimedMessage, claimedAt: number): Promise<void> {
    this.publishing++;
    const stopTimer = publishTime.startTimer();
    const outcome = await this.outcomeOf(message, claimedAt);
    stopTimer();
    this.publishing--;
    if (this.isUnanswered) this.hold(this.publishing);
    // An aborted publish leaves its message claimed, for the next run.
    if (outcome.kind !== 'aborted') {
      const settlement = settle(message, outcome, this.parts.publisher.connected);
      this.settlements.push(settlement);
      this.report(message, settlement);
    }
    this.returned();
  }

  private async outcomeOf(message: ClaimedMessage, claimedAt: number): Promise<PublishOutcome> {
    const { publisher, outTopic } = this.parts;
    const { clientId, messageId, directive, payloadJson, leftMs } = message;
    let topic: string;
    let text: string;
    try {
      topic = outTopic.topicOf(clientId);
      text = encodeMessage(messageId, directive, payloadJson, new Date());
    } catch (error) {
      return { kind: 'refused', permanent: true, details: `the message cannot be encoded: ${String(error)}` };
    }
    const expiresAt = claimedAt + leftMs;
    const writeBy = Math.min(claimedAt + CLAIM_MS, expiresAt);
    try {
      return await publisher.publish(topic, text, { expiresAt, writeBy, signal: this.signal });
    } catch (error) {
      // An unexpected error of one publish must not end the run of the shard.
      return { kind: 'refused', permanent: false, details: String(error) };
    }
  }

  private reportUnreadable(count: number): void {
    unreadable.inc(count);
    this.parts.logger.error(
      { shard: this.shard, count },
      'these stored messages cannot be read: they have failed and are kept as dead letters',
    );
  }

  private report(message: ClaimedMessage, settlement: Settlement): void {
    const { outcome } = settlement;
    settled.inc({ outcome });
    const { clientId: client_id, requestId: request_id, messageId: message_id, attempt, createdAt } = message;
    const about = { request_id, client_id, message_id, shard: this.shard, attempt, outcome };
    if (outcome === 'sent') {
      sentAfter.observe(Math.max(0, Date.now() - createdAt) / 1000);
      this.parts.logger.info(about, 'message published');
    } else {
      const details = 'details' in settlement ? settlement.details : undefined;
      this.parts.logger.warn({ ...about, details }, 'message not published');
    }
  }
}

/** What the outcome of a publish means for the message. `connected`: whether the next claim could be published now. */
export function settle(
  { clientId, messageId, attempt }: ClaimedMessage,
  outcome: Exclude<PublishOutcome, { kind: 'aborted' }>,
  connected: boolean,
): Settlement {
  const claim = { clientId, messageId, attempt };
  switch (outcome.kind) {
    case 'acknowledged':
      return { ...claim, outcome: 'sent' };
    case 'no-subscribers':
      return { ...claim, outcome: 'no-subscribers' };
    case 'refused':
      return { ...claim, outcome: outcome.permanent ? 'failed' : 'retry', details: outcome.details };
    case 'unknown':
      return { ...claim, outcome: 'retry', details: outcome.details };
    case 'late':
      return connected
        ? { clientId, outcome: 'late' }
        : { ...claim, outcome: 'retry', details: 'there is no connection to the broker' };
  }
}
