/** Accepts messages into their clients' outboxes, and activates the outbound sides of shards that nobody owns. */
import { counter, isRedisError, RedisFullError, retry, valuesOf, type Logger, type Redis } from '@app/platform';
import {
  payerOf,
  type AcceptResult,
  type AcceptOutcome,
  type Charge,
  type Messages,
  type MintedMessage,
  type NewMessage,
  type WakeUps,
} from '@app/registry';
import type { Caller } from '../access/caller.js';
import { Progress, TooLateError } from './progress.js';
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

/** How long a request waits for Redis to reconnect before it tries again, in milliseconds. */
export const RECONNECT_MS = 250;
/** If Redis answers no request for this long, in milliseconds, the outcome is unknown. */
export const ACCEPT_TIMEOUT_MS = 900;
/** Most bytes of payloads and most messages of one script: between the scripts of a large batch, other requests run. */
const MOST_AT_ONCE = { bytes: 1_048_576, messages: 250 };
/** Number of tries of a wake-up, and the pause between them; dispatchers look for such shards by themselves too. */
export const WAKE_TRIES = 4;
export const WAKE_RETRY_MS = 500;

export type SendOutcome =
  | AcceptOutcome
  /** The registry did not answer, and a second try failed. The message may be stored nevertheless. */
  | { kind: 'unreachable' };

export interface Sent {
  /** The outcome of each message, in order. */
  outcomes: SendOutcome[];
  /** The most messages of the payer that are in flight in a shard to which a message was added; 0 if all are held. */
  inFlight: number;
}

/** The gateway waits until the message of a request is final. */
export interface Registration {
  gatewayId: string;
  /** Called before the message is stored. */
  onMinted(messageId: string): void;
}

/** Messages of one shard that may or may not have been stored. */
interface Unknown {
  shard: number;
  messages: readonly MintedMessage[];
  error: unknown;
}

export class MessageSender {
  private readonly progress = new Progress();
  /** Requests that wait for Redis to reconnect. */
  private readonly waiting = new Set<() => void>();

  constructor(
    /** The connection that `messages` uses; its commands have no time limit. */
    private readonly redis: Redis,
    private readonly messages: Messages,
    private readonly wakeUps: Pick<WakeUps, 'wake'>,
    private readonly storage: Pick<StorageBudget, 'chargeOf'>,
    private readonly logger: Logger,
  ) {
    redis.on('ready', () => {
      for (const goOn of this.waiting) goOn();
    });
  }

  /**
   * Accepts messages: the messages of one client in order, and all shards at the same time, with as few scripts as `MOST_AT_ONCE`
   * allows. The outcome of a message or shard does not affect the others.
   */
  async send(messages: readonly NewMessage[], caller: Caller, registration?: Registration): Promise<Sent> {
    const shards = new Map<number, { positions: number[]; minted: MintedMessage[] }>();
    for (const [i, message] of messages.entries()) {
      const shard = this.messages.shardOf(message.clientId);
      let part = shards.get(shard);
      if (part === undefined) shards.set(shard, (part = { positions: [], minted: [] }));
      part.positions.push(i);
      // The id is minted before the first try, so that a second try after a lost reply uses the same id.
      const messageId = this.messages.mint(message.clientId);
      registration?.onMinted(messageId);
      part.minted.push({ ...message, messageId });
    }
    const { account } = caller;
    const payer = payerOf(caller);
    const outcomes: SendOutcome[] = [];
    const shardsToWake: number[] = [];
    const unknown: Unknown[] = [];
    let inFlight = 0;
    const accepting = Array.from(shards, async ([shard, { positions, minted }]) => {
      let done = 0;
      for (const part of batchesOf(minted)) {
        const charge = this.storage.chargeOf(payer, shard);
        const answer = await this.accept(shard, part, account, charge, registration?.gatewayId);
        // Later messages of the shard must not overtake messages whose outcome is unknown.
        if ('error' in answer) {
          unknown.push(answer);
          break;
        }
        if (answer.wake && !shardsToWake.includes(shard)) shardsToWake.push(shard);
        if (answer.outcomes.some(isDue)) inFlight = Math.max(inFlight, answer.inFlight);
        for (const outcome of answer.outcomes) outcomes[positions[done++] ?? -1] = outcome;
      }
      for (; done < positions.length; done++) outcomes[positions[done] ?? -1] = { kind: 'unreachable' };
    });
    await Promise.all(accepting);
    this.report(unknown);
    // The messages are stored. If a wake-up fails, a dispatcher finds the shard within two seconds.
    void this.wake(shardsToWake);
    for (const outcome of outcomes) {
      if (outcome.kind === 'accepted') accepted.inc({ status: outcome.message.status });
      else refused.inc({ reason: outcome.kind });
    }
    return { outcomes, inFlight };
  }

  private async wake(shards: readonly number[]): Promise<void> {
    try {
      await retry(() => this.wakeUps.wake(shards), { backoff: () => WAKE_RETRY_MS, tries: WAKE_TRIES });
    } catch (error) {
      this.logger.warn({ err: error, shards }, 'wake-up failed; a dispatcher finds the shard by itself');
    }
  }

  /** Logs one line per request, however many messages it has. */
  private report(unknown: readonly Unknown[]): void {
    const all = unknown.flatMap(({ messages }) => messages);
    const [first] = unknown;
    const [message] = all;
    if (first === undefined || message === undefined) return;
    const { requestId: request_id, messageId: message_id, clientId: client_id } = message;
    const which =
      all.length === 1
        ? { client_id, message_id, shard: first.shard }
        : { message_ids: all.map(({ messageId }) => messageId), shards: unknown.map(({ shard }) => shard) };
    this.logger.warn({ err: first.error, request_id, ...which }, 'outcome unknown');
  }

  private async accept(
    shard: number,
    messages: readonly MintedMessage[],
    account: string | undefined,
    charge: Charge,
    gatewayId: string | undefined,
  ): Promise<AcceptResult | Unknown> {
    const deadline = this.progress.begin(ACCEPT_TIMEOUT_MS);
    const ask = (): Promise<AcceptResult> =>
      deadline.wait(this.messages.accept(shard, messages, account, charge, gatewayId));
    try {
      return await ask().catch(async (error: unknown) => {
        if (!isRedisError(error) || error instanceof RedisFullError) throw error;
        await this.reconnected();
        return ask();
      });
    } catch (error) {
      // Nothing was stored by the first try either: the second would have found it, and would not have written.
      if (error instanceof RedisFullError) return nothingStored(messages);
      if (!isRedisError(error) && !(error instanceof TooLateError)) throw error;
      return { shard, messages, error };
    }
  }

  private reconnected(): Promise<void> {
    if (this.redis.status === 'ready') return Promise.resolve();
    return new Promise((resolve) => {
      const goOn = (): void => {
        clearTimeout(timer);
        this.waiting.delete(goOn);
        resolve();
      };
      const timer = setTimeout(goOn, RECONNECT_MS);
      this.waiting.add(goOn);
    });
  }
}

/** If Redis is full, the script fails at its first write, so nothing is stored. */
function nothingStored(messages: readonly MintedMessage[]): AcceptResult {
  return { outcomes: messages.map(() => ({ kind: 'storage-full' })), wake: false, inFlight: 0 };
}

/** Whether the message is new and its client is online. */
function isDue(outcome: AcceptOutcome): boolean {
  return outcome.kind === 'accepted' && !outcome.replayed && outcome.message.status === 'queued';
}

/** Splits messages into parts within `MOST_AT_ONCE`, in order. */
function* batchesOf(messages: readonly MintedMessage[]): Generator<MintedMessage[], void> {
  let part: MintedMessage[] = [];
  let bytes = 0;
  for (const message of messages) {
    const more = message.payloadJson?.length ?? 0;
    if (part.length > 0 && (part.length === MOST_AT_ONCE.messages || bytes + more > MOST_AT_ONCE.bytes)) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push(message);
    bytes += more;
  }
  if (part.length > 0) yield part;
}
