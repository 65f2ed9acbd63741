/**
 * Drains one connection's outbox, in order: claim, publish, settle, and the next. One publish of a connection is in
 * flight at a time; a drain that is interrupted leaves its message to the next one, which publishes it again.
 */
import type { Publisher, PublishOutcome } from '@app/broker';
import { counter, secondsHistogram, type Logger } from '@app/platform';
import { encodeMessage, shardOfMessageId, type TopicTemplate } from '@app/protocol';
import type { ClaimedMessage, DrainStep, Outboxes, Settlement } from '@app/registry';

const settled = counter('messages_settled', 'Publishes of messages, by outcome.', ['outcome']);
const publishTime = secondsHistogram('publish_duration', 'Time from PUBLISH to PUBACK.');
const sentAfter = secondsHistogram(
  'message_sent_after',
  'Time from the acceptance of a message to the PUBACK of its publish.',
);

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
      const step = await this.outboxes.drain(clientId, settlement);
      if (step.kind !== 'claimed') return step.kind;
      if (signal.aborted) return 'interrupted';
      const outcome = await this.publish(clientId, step.message, signal);
      if (outcome.kind === 'aborted') return 'interrupted';
      settlement = settle(step.message, outcome);
      this.report(clientId, step.message, settlement);
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
  { messageId }: ClaimedMessage,
  outcome: Exclude<PublishOutcome, { kind: 'aborted' }>,
): Settlement {
  switch (outcome.kind) {
    case 'acknowledged':
      return { messageId, outcome: 'sent' };
    case 'unheard':
      return { messageId, outcome: 'unheard' };
    case 'refused':
      return { messageId, outcome: outcome.forGood ? 'failed' : 'retry', details: outcome.details };
  }
}
