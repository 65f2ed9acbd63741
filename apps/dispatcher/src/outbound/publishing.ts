/** Publishes claimed messages, and reports what became of them. */
import type { Publisher, PublishOutcome } from '@app/broker';
import { counter, secondsHistogram, valuesOf, type Logger } from '@app/platform';
import { encodeMessage, type TopicTemplate } from '@app/protocol';
import { OUTCOME_UNKNOWN, type ClaimedMessage, type PublishResult } from '@app/registry';

const OUTCOMES = valuesOf<PublishResult['outcome']>({
  sent: true,
  'no-subscribers': true,
  retry: true,
  unwritten: true,
  failed: true,
});
const results = counter('publish_results', 'Publishes of messages, by outcome.', { outcome: OUTCOMES });
const publishTime = secondsHistogram('publish_duration', 'Time from PUBLISH to PUBACK.');
const sentAfter = secondsHistogram(
  'message_sent_after',
  'Time from the acceptance of a message to the PUBACK of its publish.',
);

/** The times of a publish by `performance.now`. */
export interface PublishTimes {
  /** When the time to live of the message ends. */
  expiresAt(message: ClaimedMessage): number;
  /** Epoch milliseconds by Redis' clock, which is also that of the acceptance. */
  redisNow(): number;
  /** Until when this process may write it: the end of its lease, which may be renewed while the publish waits for its turn. */
  writeBy(): number;
}

export class Publishing {
  constructor(
    private readonly publisher: Pick<Publisher, 'publish' | 'connected'>,
    private readonly topics: { out: TopicTemplate; in: TopicTemplate },
    private readonly logger: Logger,
    /** Called with the milliseconds from the acceptance of each message to its PUBACK. */
    private readonly observe: (ms: number) => void = () => undefined,
  ) {}

  /** @returns undefined if the publish was aborted: the message stays claimed */
  async publish(
    message: ClaimedMessage,
    shard: number,
    times: PublishTimes,
    signal: AbortSignal,
  ): Promise<PublishResult | undefined> {
    const from = performance.now();
    const outcome = await this.outcomeOf(message, times, signal);
    publishTime.observe((performance.now() - from) / 1000);
    if (outcome.kind === 'aborted') return undefined;
    const result = resultOf(message, outcome);
    this.report(message, shard, result, times.redisNow());
    return result;
  }

  private async outcomeOf(message: ClaimedMessage, times: PublishTimes, signal: AbortSignal): Promise<PublishOutcome> {
    const { clientId, messageId } = message;
    let topic: string;
    let responseTopic: string;
    let text: string;
    try {
      topic = this.topics.out.topicOf(clientId);
      responseTopic = this.topics.in.topicOf(clientId);
      text = encodeMessage(message, new Date());
    } catch (error) {
      return { kind: 'refused', permanent: true, details: `the message cannot be encoded: ${String(error)}` };
    }
    const expiresAt = times.expiresAt(message);
    for (;;) {
      const writeBy = times.writeBy();
      const now = performance.now();
      if (now > writeBy || now > expiresAt) return { kind: 'late' };
      try {
        const request = { responseTopic, correlationData: messageId };
        const options = { expiresAt, writeBy: Math.min(writeBy, expiresAt), request, signal };
        const outcome = await this.publisher.publish(topic, text, options);
        // The lease may have been renewed while the publish waited for its turn.
        if (outcome.kind !== 'late') return outcome;
      } catch (error) {
        // An unexpected error of one publish must not end the work for the shard.
        return { kind: 'refused', permanent: false, details: String(error) };
      }
    }
  }

  private report(message: ClaimedMessage, shard: number, result: PublishResult, now: number): void {
    const { outcome } = result;
    results.inc({ outcome });
    const { clientId: client_id, requestId: request_id, messageId: message_id, attempt, createdAt } = message;
    const about = { request_id, client_id, message_id, shard, attempt, outcome };
    if (outcome === 'sent') {
      const durationMs = Math.max(0, now - createdAt);
      sentAfter.observe(durationMs / 1000);
      this.observe(durationMs);
      this.logger.info(about, 'message published');
    } else {
      const details = 'details' in result ? result.details : undefined;
      this.logger.warn({ ...about, details }, 'message not published');
    }
  }
}

/** What the outcome of a publish means for the message. */
export function resultOf(
  { clientId, messageId, attempt }: ClaimedMessage,
  outcome: Exclude<PublishOutcome, { kind: 'aborted' }>,
): PublishResult {
  const claim = { clientId, messageId, attempt };
  switch (outcome.kind) {
    case 'acknowledged':
      return { ...claim, outcome: 'sent' };
    case 'no-subscribers':
      return { ...claim, outcome: 'no-subscribers' };
    case 'refused':
      return { ...claim, outcome: outcome.permanent ? 'failed' : 'retry', details: outcome.details };
    case 'unknown':
      return { ...claim, outcome: 'retry', details: `${outcome.details}: ${OUTCOME_UNKNOWN}` };
    case 'late':
      return { clientId, messageId, outcome: 'unwritten' };
  }
}
