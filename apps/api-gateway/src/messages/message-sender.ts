/** Accepts a message into its client's outbox and wakes a dispatcher. */
import { counter, isRedisError, type Logger, type Redis } from '@app/platform';
import type { AcceptOutcome, Messages, NewMessage, WakeUps } from '@app/registry';
import { Problem } from '../http/problem.js';

const accepted = counter('messages_accepted', 'Messages accepted into an outbox, by status.', ['status']);
const refused = counter('messages_refused', 'Messages refused, by reason.', ['reason']);

/** How long a call waits for Redis to come back before it is told that the outcome is unknown. */
const RECONNECT_MS = 250;

export class MessageSender {
  constructor(
    private readonly redis: Redis,
    private readonly messages: Messages,
    private readonly wakeUps: WakeUps,
    private readonly logger: Logger,
  ) {}

  /** @throws Problem where the outcome is unknown: the caller repeats with its Idempotency-Key. */
  async send(message: NewMessage): Promise<AcceptOutcome> {
    const outcome = await this.accept(message);
    if (outcome.kind !== 'accepted') {
      refused.inc({ reason: outcome.kind });
      return outcome;
    }
    const { messageId, clientId, status } = outcome.message;
    accepted.inc({ status });
    const about = { request_id: message.requestId, client_id: clientId, message_id: messageId, shard: outcome.shard };
    this.logger.info({ ...about, status, replayed: outcome.replayed }, 'message accepted');
    // From here on the message is kept; a wake-up that gets lost is repeated by the shard's housekeeping.
    if (status === 'queued' && !outcome.replayed) {
      this.wakeUps.wake([clientId]).catch((error: unknown) => {
        this.logger.warn({ ...about, err: error }, 'wake-up failed; housekeeping repeats it');
      });
    }
    return outcome;
  }

  private async accept(message: NewMessage): Promise<AcceptOutcome> {
    // Minted before the store is asked: a lost reply is asked for again under the same id.
    const messageId = this.messages.mint(message.clientId);
    try {
      return await this.messages.accept(messageId, message);
    } catch (error) {
      if (!isRedisError(error)) throw error;
      await this.reconnected();
    }
    try {
      return await this.messages.accept(messageId, message);
    } catch (error) {
      if (!isRedisError(error)) throw error;
      this.logger.warn({ err: error, request_id: message.requestId, message_id: messageId }, 'outcome unknown');
      throw new Problem(
        'unavailable',
        'the registry cannot be reached, and whether the message was stored is not known. ' +
          'Repeat the request with its Idempotency-Key; without one it may be sent twice',
        { retryAfterSeconds: 1 },
      );
    }
  }

  private reconnected(): Promise<void> {
    if (this.redis.status === 'ready') return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.redis.off('ready', done);
        resolve();
      };
      const timer = setTimeout(done, RECONNECT_MS);
      this.redis.once('ready', done);
    });
  }
}
