/**
 * A drain run of a shard: connections that wait are taken, the head of each outbox is claimed and published, and what the
 * broker made of it is settled together with the claim of the next message. Of each connection one publish is in flight at
 * a time; one that is interrupted leaves its message to the next run, which publishes it again. What comes back while a
 * step is under way goes with the next step: the more there is to do, the more goes at once.
 * While Redis or the broker is away a run waits: it does not fail for what others will have to wait for as well.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Publisher, PublishOutcome } from '@app/broker';
import { backoffMs, counter, gauge, isRedisError, secondsHistogram, type Logger } from '@app/platform';
import { encodeMessage, type TopicTemplate } from '@app/protocol';
import { DRAIN_ENDS, type ClaimedMessage, type DrainStep, type Outboxes, type Settlement } from '@app/registry';
import type { Slots } from './slots.js';

const drains = counter('drains', 'Drains of an outbox, by how they ended.', ['end']);
const draining = gauge('connections_draining', 'Connections with a message that is being published.');
const settled = counter('messages_settled', 'Publishes of messages, by outcome.', ['outcome']);
const publishTime = secondsHistogram('publish_duration', 'Time from PUBLISH to PUBACK.');
const sentAfter = secondsHistogram(
  'message_sent_after',
  'Time from the acceptance of a message to the PUBACK of its publish.',
);

/** What a claim is worth publishing for: past it, a process that was frozen may have been taken for dead. */
const CLAIM_MS = 2500;
/** A run that still has work after this ends, and is queued again: so other dispatchers get their share of busy shards. */
const RUN_MS = 1000;
/** Waits between tries of a Redis that refuses; one that is away is waited for by the connection itself. */
const REFUSED_MS = { first: 100, most: 5000 };

/** `interrupted`: there is still work. */
export type RunEnd = 'idle' | 'interrupted' | 'superseded';

export interface DrainParts {
  outboxes: Outboxes;
  publisher: Publisher;
  outTopic: TopicTemplate;
  slots: Slots;
  logger: Logger;
}

export class DrainRun {
  private name: string | undefined;
  /** Connections that Redis knows to be ours: being published, or about to be settled. */
  private claimed = 0;
  private publishing = 0;
  private settlements: Settlement[] = [];
  private returned: () => void = () => undefined;
  private isSuperseded = false;
  private readonly endsAt = performance.now() + RUN_MS;

  constructor(
    private readonly parts: DrainParts,
    private readonly shard: number,
    private readonly signal: AbortSignal,
  ) {}

  async drain(): Promise<RunEnd> {
    try {
      for (;;) {
        if (this.settlements.length === 0) {
          if (this.publishing > 0) await this.untilReturned();
          else if (this.isSuperseded) return 'superseded';
          else if (this.isEnding || !(await this.parts.slots.untilFree(this.signal))) return 'interrupted';
        }
        if (this.settlements.length === 0 && this.publishing > 0) continue;
        const kind = await this.step();
        if (kind === undefined) return 'interrupted';
        if (kind === 'idle') return 'idle';
      }
    } finally {
      this.hold(0);
    }
  }

  private get isEnding(): boolean {
    return this.signal.aborted || (this.name !== undefined && performance.now() > this.endsAt);
  }

  /** Settles what has come back, and publishes what is claimed. @returns undefined where it was given up */
  private async step(): Promise<DrainStep['kind'] | undefined> {
    const { slots } = this.parts;
    const settlements = this.settlements;
    this.settlements = [];
    const underWay = this.claimed - settlements.length;
    const mayTake = this.claimed === 0 ? slots.free : slots.spare;
    slots.take(mayTake);
    const askedAt = performance.now();
    const room = this.isEnding ? 'none-goes-on' : mayTake;
    const step = await this.ask({ run: this.name, underWay, room, settlements }).finally(() => slots.take(-mayTake));
    if (step === undefined) return undefined;
    switch (step.kind) {
      case 'lost':
        this.settlements.unshift(...settlements);
        while (this.publishing > 0) await this.untilReturned();
        this.name = undefined;
        break;
      case 'superseded':
        if (!this.isSuperseded) drains.inc({ end: 'superseded' }, this.claimed);
        this.isSuperseded = true;
        this.hold(underWay);
        break;
      default: {
        for (const end of DRAIN_ENDS) if (step.ends[end] > 0) drains.inc({ end }, step.ends[end]);
        this.hold((this.name === undefined ? 0 : underWay) + step.claimed.length);
        this.name = step.run;
        const isLate = performance.now() - askedAt > CLAIM_MS;
        for (const message of step.claimed) {
          if (isLate) this.settlements.push({ clientId: message.clientId, outcome: 'late' });
          else if (!this.signal.aborted) void this.publish(message);
        }
      }
    }
    return step.kind;
  }

  private hold(claimed: number): void {
    const more = claimed - this.claimed;
    this.claimed = claimed;
    draining.inc(more);
    this.parts.slots.take(more);
  }

  private async untilReturned(): Promise<void> {
    await new Promise<void>((resolve) => (this.returned = resolve));
  }

  private async ask(state: Parameters<Outboxes['step']>[1]): Promise<DrainStep | undefined> {
    const { outboxes, logger } = this.parts;
    for (let tries = 0; ; tries++) {
      try {
        return await outboxes.step(this.shard, state);
      } catch (error) {
        if (!isRedisError(error)) throw error;
        if (this.signal.aborted) return undefined;
        const waitMs = backoffMs(tries, REFUSED_MS.first, REFUSED_MS.most);
        logger.warn({ err: error, shard: this.shard, wait_ms: waitMs }, 'Redis refused; trying again');
        await sleep(waitMs, undefined, { signal: this.signal }).catch(() => undefined);
      }
    }
  }

  private async publish(message: ClaimedMessage): Promise<void> {
    const { publisher, outTopic } = this.parts;
    const { clientId, messageId, directive, payloadJson, leftMs } = message;
    this.publishing++;
    const stopTimer = publishTime.startTimer();
    const text = encodeMessage(messageId, directive, payloadJson, new Date());
    const expirySeconds = Math.ceil(leftMs / 1000);
    const { signal } = this;
    const outcome = await publisher
      .publish(outTopic.topicOf(clientId), text, { expirySeconds, signal })
      .catch((error: unknown): PublishOutcome => ({ kind: 'refused', forGood: false, details: String(error) }));
    stopTimer();
    this.publishing--;
    // An aborted one stays claimed, for the next run.
    if (outcome.kind !== 'aborted') {
      const settlement = settle(message, outcome);
      this.settlements.push(settlement);
      this.report(message, settlement);
    }
    this.returned();
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

/** What a publish's outcome means for the message. Pure. */
export function settle(
  { clientId, messageId, attempt }: ClaimedMessage,
  outcome: Exclude<PublishOutcome, { kind: 'aborted' }>,
): Settlement {
  const claim = { clientId, messageId, attempt };
  switch (outcome.kind) {
    case 'acknowledged':
      return { ...claim, outcome: 'sent' };
    case 'unheard':
      return { ...claim, outcome: 'unheard' };
    case 'refused':
      return { ...claim, outcome: outcome.forGood ? 'failed' : 'retry', details: outcome.details };
  }
}
