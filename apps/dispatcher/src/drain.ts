/**
 * Drains one connection's outbox, in order: claim, publish, settle, and the next. One publish of a connection is in
 * flight at a time; a drain that is interrupted leaves its message to the next one, which publishes it again.
 * While Redis or the broker is away it waits: a drain does not fail for what others will have to wait for as well.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Publisher, PublishOutcome } from '@app/broker';
import { backoffMs, counter, isRedisError, secondsHistogram, type Logger } from '@app/platform';
import { encodeMessage, shardOfMessageId, type TopicTemplate } from '@app/protocol';
import type { ClaimedMessage, DrainStep, Outboxes, Settlement } from '@app/registry';

const settled = counter('messages_settled', 'Publishes of messages, by outcome.', ['outcome']);
const publishTime = secondsHistogram('publish_duration', 'Time from PUBLISH to PUBACK.');
const sentAfter = secondsHistogram(
  'message_sent_after',
  'Time from the acceptance of a message to the PUBACK of its publish.',
);

/** What a claim is worth publishing for: past it, a process that was frozen may have been taken for dead. */
const CLAIM_MS = 2500;
/** Waits between tries of a Redis that refuses; one that is away is waited for by the connection itself. */
const REFUSED_MS = { first: 100, most: 5000 };

export class Drain {
  constructor(
    private readonly outboxes: Outboxes,
    private readonly publisher: Publisher,
    private readonly outTopic: TopicTemplate,
    private readonly logger: Logger,
  ) {}

  /** @returns why it ended; `interrupted` where the signal came before the outbox was empty. */
  async run(clientId: string, signal: AbortSignal): Promise<Exclude<DrainStep['kind'], 'claimed'> | 'interrupted'> {
    let settlement: Settlement | undefined;
    for (;;) {
      const askedAt = performance.now();
      const step = await this.next(clientId, settlement, signal);
      if (step.kind !== 'claimed') return step.kind;
      if (signal.aborted) return 'interrupted';
      settlement = undefined;
      if (performance.now() - askedAt > CLAIM_MS) continue;
      const outcome = await this.publish(clientId, step.message, signal);
      if (outcome.kind === 'aborted') return 'interrupted';
      settlement = settle(step.message, outcome);
      this.report(clientId, step.message, settlement);
    }
  }

  private async next(
    clientId: string,
    settlement: Settlement | undefined,
    signal: AbortSignal,
  ): Promise<DrainStep | { kind: 'interrupted' }> {
    for (let tries = 0; ; tries++) {
      try {
        return await this.outboxes.drain(clientId, settlement);
      } catch (error) {
        if (!isRedisError(error)) throw error;
        if (signal.aborted) return { kind: 'interrupted' };
        const waitMs = backoffMs(tries, REFUSED_MS.first, REFUSED_MS.most);
        this.logger.warn({ err: error, client_id: clientId, wait_ms: waitMs }, 'Redis refused; trying again');
        await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  private async publish(clientId: string, message: ClaimedMessage, signal: AbortSignal): Promise<PublishOutcome> {
    const { messageId, directive, payloadJson, leftMs } = message;
    const stopTimer = publishTime.startTimer();
    const text = encodeMessage(messageId, directive, payloadJson, new Date());
    const expirySeconds = Math.ceil(leftMs / 1000);
    const outcome = await this.publisher.publish(this.outTopic.topicOf(clientId), text, { expirySeconds, signal });
    stopTimer();
    return outcome;
  }

  private report(clientId: string, message: ClaimedMessage, { outcome, ...rest }: Settlement): void {
    settled.inc({ outcome });
    const { requestId: request_id, messageId: message_id, attempt } = message;
    const shard = shardOfMessageId(message_id);
    const about = { request_id, client_id: clientId, message_id, shard, attempt, outcome };
    if (outcome === 'sent') {
      sentAfter.observe(Math.max(0, Date.now() - message.createdAt) / 1000);
      this.logger.info(about, 'message published');
    } else
      this.logger.warn({ ...about, details: 'details' in rest ? rest.details : undefined }, 'message not published');
  }
}

/** What a publish's outcome means for the message. Pure. */
export function settle(
  { messageId, attempt }: ClaimedMessage,
  outcome: Exclude<PublishOutcome, { kind: 'aborted' }>,
): Settlement {
  switch (outcome.kind) {
    case 'acknowledged':
      return { messageId, attempt, outcome: 'sent' };
    case 'unheard':
      return { messageId, attempt, outcome: 'unheard' };
    case 'refused':
      return { messageId, attempt, outcome: outcome.forGood ? 'failed' : 'retry', details: outcome.details };
  }
}
