/** Accepts messages into their clients' outboxes and wakes dispatchers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { counter, isRedisError, RedisFullError, valuesOf, type Logger, type Redis } from '@app/platform';
import {
  payerOf,
  type Accepting,
  type AcceptOutcome,
  type Charge,
  type Messages,
  type MintedMessage,
  type NewMessage,
  type WakeUps,
} from '@app/registry';
import type { Caller } from '../access/caller.js';
import type { StorageBudget } from './storage-budget.js';

const accepted = counter('messages_accepted', 'Messages accepted into an outbox, by status.', {
  status: ['queued', 'held'],
});
const REFUSALS = valuesOf<Exclude<SendOutcome['kind'], 'accepted'>>({
  unknown: true,
  building: true,
  offline: true,
  full: true,
  'shard-full': true,
  'account-full': true,
  'storage-full': true,
  mismatch: true,
  unreachable: true,
});
const refused = counter('messages_refused', 'Messages refused, by reason.', { reason: REFUSALS });

/** How long a call waits for Redis to come back before it asks again. */
const RECONNECT_MS = 250;
/** When a call is told at the latest that the outcome is unknown. */
const PATIENCE_MS = 900;
/** A wake-up is tried so often, so far apart, before it is left to the housekeeping. */
const WAKE_TRIES = 4;
const WAKE_AGAIN_MS = 500;

export type SendOutcome =
  | AcceptOutcome
  /** The registry did not answer, also when it was asked again; the message may be stored all the same. */
  | { kind: 'unreachable' };

export class MessageSender {
  constructor(
    private readonly redis: Redis,
    private readonly messages: Messages,
    private readonly wakeUps: Pick<WakeUps, 'wake'>,
    private readonly storage: Pick<StorageBudget, 'chargeOf'>,
    private readonly logger: Logger,
  ) {}

  /**
   * Accepts messages, those of one client in their order, with one script a shard, all of them at once. What becomes of
   * one, or of one shard, changes nothing for the others.
   * @returns what became of each, in their order
   */
  async send(messages: readonly NewMessage[], caller: Caller): Promise<SendOutcome[]> {
    const shards = new Map<number, { positions: number[]; minted: MintedMessage[] }>();
    for (const [i, message] of messages.entries()) {
      const shard = this.messages.shardOf(message.clientId);
      let part = shards.get(shard);
      if (part === undefined) shards.set(shard, (part = { positions: [], minted: [] }));
      part.positions.push(i);
      // Minted before the store is asked: a lost reply is asked for again under the same id.
      part.minted.push({ ...message, messageId: this.messages.mint(message.clientId) });
    }
    const { id, account } = caller;
    const payer = payerOf(caller);
    const outcomes: SendOutcome[] = [];
    const deadline = performance.now() + PATIENCE_MS;
    const waking: number[] = [];
    const accepting = Array.from(shards, async ([shard, { positions, minted }]) => {
      const answer = await this.accept(shard, minted, account, this.storage.chargeOf(payer, shard), deadline);
      if (answer?.wake) waking.push(shard);
      for (const [i, position] of positions.entries()) {
        outcomes[position] = answer?.outcomes[i] ?? { kind: 'unreachable' };
      }
    });
    await Promise.all(accepting);
    // From here on accepted messages are kept; a wake-up that fails is repeated, in the end by the shard's housekeeping.
    void this.wake(waking);
    this.report(messages, outcomes, id);
    return outcomes;
  }

  private report(messages: readonly NewMessage[], outcomes: readonly SendOutcome[], caller: string): void {
    for (const [i, outcome] of outcomes.entries()) {
      if (outcome.kind !== 'accepted') {
        refused.inc({ reason: outcome.kind });
        continue;
      }
      const { message, shard, replayed } = outcome;
      const { clientId: client_id, messageId: message_id, status } = message;
      accepted.inc({ status });
      const request_id = messages[i]?.requestId;
      this.logger.info({ request_id, caller, client_id, message_id, shard, status, replayed }, 'message accepted');
    }
  }

  private async wake(shards: readonly number[]): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.wakeUps.wake(shards);
        return;
      } catch (error) {
        if (tries === WAKE_TRIES) {
          this.logger.warn({ err: error, shards }, 'wake-up failed; housekeeping repeats it');
          return;
        }
      }
      await sleep(WAKE_AGAIN_MS, undefined, { ref: false });
    }
  }

  private async accept(
    shard: number,
    messages: readonly MintedMessage[],
    within: string | undefined,
    charge: Charge,
    deadline: number,
  ): Promise<Accepting | undefined> {
    try {
      return await this.messages.accept(shard, messages, within, charge);
    } catch (error) {
      if (error instanceof RedisFullError) return nothingStored(messages);
      if (!isRedisError(error)) throw error;
      await this.reconnected();
    }
    try {
      return await before(deadline, this.messages.accept(shard, messages, within, charge));
    } catch (error) {
      // Had the first try stored them, this one would have had nothing to write.
      if (error instanceof RedisFullError) return nothingStored(messages);
      if (!isRedisError(error) && !(error instanceof TooLateError)) throw error;
      for (const { requestId: request_id, messageId: message_id, clientId: client_id } of messages) {
        this.logger.warn({ err: error, request_id, client_id, message_id, shard }, 'outcome unknown');
      }
      return undefined;
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

/** A script that needs memory which Redis does not have fails at its first write. */
function nothingStored(messages: readonly MintedMessage[]): Accepting {
  return { outcomes: messages.map(() => ({ kind: 'storage-full' })), wake: false };
}

class TooLateError extends Error {
  override readonly name = 'TooLateError';
}

/** What the promise resolves with, unless the time comes first. @throws TooLateError */
async function before<T>(deadline: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const ms = Math.max(0, deadline - performance.now());
    timer = setTimeout(() => reject(new TooLateError('Redis has not answered in time')), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
