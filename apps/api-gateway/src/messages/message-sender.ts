/** Accepts a message into its client's outbox and wakes a dispatcher. */
import { counter, type Logger, type Redis } from '@app/platform';
import type { AcceptOutcome, Messages, NewMessage, WakeUps } from '@app/registry';
import { LRUCache } from 'lru-cache';
import { isRedisError } from '../http/problem.filter.js';
import { Problem } from '../http/problem.js';

const accepted = counter('messages_accepted', 'Messages accepted into an outbox, by status.', ['status']);
const refused = counter('messages_refused', 'Messages refused, by reason.', ['reason']);

/** How long a call waits for Redis to come back before it is told that the outcome is unknown. */
const RECONNECT_MS = 250;
/** Clients remembered as online. */
const REMEMBERED = 10_000;

export class MessageSender {
  /**
   * Clients that were online at their last message. For those the wake-up follows the accept on the same connection
   * without waiting for its answer, which saves a round trip; where the guess was wrong, a drain finds nothing.
   */
  private readonly lastOnline = new LRUCache<string, true>({ max: REMEMBERED });

  constructor(
    private readonly redis: Redis,
    private readonly messages: Messages,
    private readonly wakeUps: WakeUps,
    private readonly logger: Logger,
  ) {
    // A restarted Redis does not know the script yet, and its second try would come behind the wake-up.
    redis.on('close', () => this.lastOnline.clear());
  }

  /** @throws Problem where the outcome is unknown: the caller repeats with its Idempotency-Key. */
  async send(message: NewMessage): Promise<AcceptOutcome> {
    const { clientId, requestId } = message;
    const accepting = this.accept(message);
    const early = this.lastOnline.get(clientId) === true;
    if (early) this.wake(clientId, requestId);
    const { outcome, repeated } = await accepting;
    if (outcome.kind !== 'accepted') {
      this.lastOnline.delete(clientId);
      refused.inc({ reason: outcome.kind });
      return outcome;
    }
    const { messageId, status } = outcome.message;
    accepted.inc({ status });
    this.logger.info(
      {
        request_id: requestId,
        client_id: clientId,
        message_id: messageId,
        shard: outcome.shard,
        status,
        replayed: outcome.replayed,
      },
      'message accepted',
    );
    if (status === 'held') this.lastOnline.delete(clientId);
    else {
      this.lastOnline.set(clientId, true);
      if (!early || repeated) this.wake(clientId, requestId);
    }
    return outcome;
  }

  /** A message that was accepted is kept; a wake-up that gets lost is repeated by the shard's housekeeping. */
  private wake(clientId: string, requestId: string): void {
    this.wakeUps.wake([clientId]).catch((error: unknown) => {
      const about = { request_id: requestId, client_id: clientId };
      this.logger.warn({ ...about, err: error }, 'wake-up failed; housekeeping repeats it');
    });
  }

  /** `repeated`: the first try failed, and what was sent behind it may have overtaken the second. */
  private async accept(message: NewMessage): Promise<{ outcome: AcceptOutcome; repeated: boolean }> {
    // Minted before the store is asked: a lost reply is asked for again under the same id.
    const messageId = this.messages.mint(message.clientId);
    try {
      return { outcome: await this.messages.accept(messageId, message), repeated: false };
    } catch (error) {
      if (!isRedisError(error)) throw error;
      await this.reconnected();
    }
    try {
      return { outcome: await this.messages.accept(messageId, message), repeated: true };
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
