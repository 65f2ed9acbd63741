/**
 * The work of the outbound side of a shard: its owner, a dispatcher, claims the messages at the heads of outboxes, publishes and
 * completes them. Each of its commands carries the fence of its lease, and is refused if another process has the lease (S2).
 */
import type { Redis } from '@app/platform';
import { StaleOwnerError, streamReader, type Grant, type StreamEntry, type StreamReader } from '@app/sharding';
import { messageCommands } from '../commands.js';
import { truncateDetails } from '../message-status.js';
import { parseClaimedRecord } from './message-record.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';

/** Why the owner has left a connection, in the order of the counts in the reply. */
export const LEFT_BECAUSE = ['empty', 'offline', 'waiting', 'interrupted'] as const;
export type LeftBecause = (typeof LEFT_BECAUSE)[number];

export interface ClaimedMessage {
  clientId: string;
  messageId: string;
  directive: string;
  payloadJson: string | undefined;
  /** When its time to live ends, epoch milliseconds by the clock of Redis. */
  expiresAt: number;
  requestId: string;
  /** Number of this attempt, from 1. */
  attempt: number;
  createdAt: number;
  /** Whether another message of the connection waits behind it. */
  isFollowed: boolean;
}

/** The result of a publish; `attempt` is that of the claim, `publishedAt` the time of the publish by the clock of Redis. */
export type PublishResult = { clientId: string; publishedAt?: number } & (
  | (Pick<ClaimedMessage, 'messageId' | 'attempt'> &
      (
        | { outcome: 'sent' }
        /** The broker refused the message for good. */
        | { outcome: 'failed'; details: string }
        /** The client's topic had no subscribers: the message is held, and retried after a back-off. */
        | { outcome: 'no-subscribers' }
        /** The message was not published: it is retried after a back-off. */
        | { outcome: 'retry'; details: string }
      ))
  /**
   * The message was not written, since its time to live has ended: it is claimed again, or expires. Without a message id, an
   * earlier owner has claimed the head of the outbox, and may have published it.
   */
  | { outcome: 'unwritten'; messageId?: string }
);

/** The input of a step. */
export interface OutboundState {
  /** The last entry of the stream of claims that was read; undefined for none. */
  readTo: string | undefined;
  /** How many connections may be taken; with 'none-goes-on', completed connections are left as well. */
  room: number | 'none-goes-on';
  results: readonly PublishResult[];
  /** For connections with results of which the owner has claimed further messages: the id of the last one. */
  lastClaimed?: ReadonlyMap<string, string>;
}

export interface OutboundStep {
  /** The clock of Redis, epoch milliseconds. */
  at: number;
  /** Those of a connection are in the order of its outbox. */
  claimed: ClaimedMessage[];
  /** Connections of which the owner must not publish what it still holds. */
  stopped: string[];
  /** Number of connections with a message in flight, also of those that the owner does not know. */
  inFlight: number;
  /** Number of entries of the stream of claims that were not read. */
  unread: number;
  /** Milliseconds until a connection is ready; undefined if none will be. */
  readyInMs: number | undefined;
  /** Number of connections that were left, by reason. */
  left: Record<LeftBecause, number>;
  /** Number of stored messages that could not be read: they have failed, and are dead-lettered. */
  unreadable: number;
  /** Number of messages that failed: their time to live has ended, and nobody knows whether they were published. */
  outcomeUnknown: number;
}

/** An entry of the stream of claims. */
export interface ClaimEntry extends StreamEntry {
  /** A claim of the accept script; undefined if the entry only rings. */
  message: ClaimedMessage | undefined;
  /** If it rings: the connection of which another message waits for a completion; undefined if connections are ready. */
  follows: string | undefined;
}

/** How a lease was released. `busy`: it was not, since there is work. `due`: a connection is ready for the next owner. */
export type OutboundRelease = 'busy' | 'idle' | 'due';

export interface DueShard {
  shard: number;
  /** Milliseconds that are left of the owner's lease; undefined if nobody owns the outbound side. */
  leaseMs: number | undefined;
  /** Milliseconds until there is work. */
  dueInMs: number;
  /** Connections that are ready, and that its owner has not taken yet. */
  waiting: number;
  /** Milliseconds for which the first of them has been ready. */
  oldestMs: number;
}

export type FormerNames = Readonly<Record<'former_ready' | 'former_claimed' | 'former_run', string>>;

/** The names of 0.1.0. */
export function formerNames(keys: RegistryKeys, index: number): FormerNames {
  const shard = keys.shard(index);
  return { former_ready: `${shard}:woken`, former_claimed: `${shard}:draining`, former_run: `${shard}:drain-run` };
}

/** `[client id, message id, directive, payload, expires at, request id, attempt, created at, is followed]` */
type ClaimReply = [string, string, string, string, string, string, number, string, 0 | 1];

/** Back-off before an attempt is repeated. It doubles with each attempt. */
const RETRY_MS = { first: 1000, longest: 60_000 };

const stepCommand = messageCommands.load<
  MessageKeys,
  {
    fence: string;
    read_to: string;
    room: number;
    first_wait_ms: number;
    longest_wait_ms: number;
    results: readonly (string | number)[];
  },
  | null
  | [
      at: number,
      inFlight: number,
      unread: number,
      readyInMs: number,
      left: number[],
      stopped: string[],
      ...claims: ClaimReply[],
    ]
>('outbound-step');

const takeOver = messageCommands.load<
  MessageKeys & FormerNames,
  { fence: string },
  null | [at: number, newest: string, clients: string[]]
>('take-over-claims');

const closeOutbound = messageCommands.load<MessageKeys, { fence: string; most_ms: number }, 0 | 1>('close-outbound');

const releaseOutbound = messageCommands.load<
  MessageKeys,
  { fence: string; read_to: string; idle_ms: number | '' },
  OutboundRelease | 'stale'
>('release-outbound');

export class OutboundWork {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
  ) {}

  /**
   * Completes results, and claims messages. Safe to repeat.
   * @throws StaleOwnerError
   */
  async step(grant: Grant, { readTo, room, results, lastClaimed }: OutboundState): Promise<OutboundStep> {
    const packed: (string | number)[] = [];
    for (const result of results) {
      const { clientId, outcome, messageId = '' } = result;
      const details = 'details' in result ? truncateDetails(result.details) : '';
      const attempt = outcome === 'unwritten' ? '' : result.attempt;
      const publishedAt = result.publishedAt?.toFixed(0) ?? '';
      packed.push(clientId, messageId, attempt, outcome, details, publishedAt, lastClaimed?.get(clientId) ?? '');
    }
    const reply = await stepCommand.run(this.redis, this.keys.ofMessages(grant.index), {
      fence: grant.fence,
      read_to: readTo ?? '',
      room: room === 'none-goes-on' ? -1 : room,
      first_wait_ms: RETRY_MS.first,
      longest_wait_ms: RETRY_MS.longest,
      results: packed,
    });
    if (reply === null) throw new StaleOwnerError(grant);
    const [at, inFlight, unread, readyInMs, counts, stopped, ...claims] = reply;
    const left = { empty: 0, offline: 0, waiting: 0, interrupted: 0 };
    for (const [i, reason] of LEFT_BECAUSE.entries()) left[reason] = counts[i] ?? 0;
    return {
      at,
      inFlight,
      unread,
      readyInMs: readyInMs < 0 ? undefined : readyInMs,
      left,
      unreadable: counts[LEFT_BECAUSE.length] ?? 0,
      outcomeUnknown: counts[LEFT_BECAUSE.length + 1] ?? 0,
      claimed: claims.map(toClaimed),
      stopped,
    };
  }

  /**
   * The connections with a message in flight, also those that an earlier owner has left, the id of the newest entry of the
   * stream of claims, and the clock of Redis in epoch milliseconds. A new owner claims them all again, with the outcome
   * `unwritten`.
   * @throws StaleOwnerError
   */
  async takeOver(grant: Grant): Promise<{ at: number; newest: string; clientIds: string[] }> {
    const keys = { ...this.keys.ofMessages(grant.index), ...formerNames(this.keys, grant.index) };
    const reply = await takeOver.run(this.redis, keys, { fence: grant.fence });
    if (reply === null) throw new StaleOwnerError(grant);
    const [at, newest, clientIds] = reply;
    return { at, newest, clientIds };
  }

  /** From now on the accept script claims nothing for this owner, which has released its lease within `mostMs`. @throws StaleOwnerError */
  async close(grant: Grant, mostMs: number): Promise<void> {
    const args = { fence: grant.fence, most_ms: mostMs };
    const done = await closeOutbound.run(this.redis, this.keys.ofMessages(grant.index), args);
    if (done === 0) throw new StaleOwnerError(grant);
  }

  /**
   * Releases the lease. Messages that are claimed go back to `queued`.
   * @param ifIdleForMs only if nothing is claimed, and nothing will be ready within this time
   * @throws StaleOwnerError
   */
  async release(grant: Grant, readTo: string | undefined, ifIdleForMs?: number): Promise<OutboundRelease> {
    const reply = await releaseOutbound.run(this.redis, this.keys.ofMessages(grant.index), {
      fence: grant.fence,
      read_to: readTo ?? '',
      idle_ms: ifIdleForMs ?? '',
    });
    if (reply === 'stale') throw new StaleOwnerError(grant);
    return reply;
  }
}

/**
 * Reads the claims of many shards together.
 * @param redis a connection that nothing else uses
 * @param control a connection through which reads are interrupted
 */
export function claimsReader(redis: Redis, control: Redis, keys: RegistryKeys): StreamReader<ClaimEntry> {
  return streamReader(
    redis,
    { key: (shard) => keys.claims(shard), decode: decodeClaim },
    // The first entry is served at once, whatever follows it.
    { count: CLAIMS_READ, recordRead: () => 0 },
    control,
  );
}

/** Claims of one shard in one read. */
const CLAIMS_READ = 100;

/** `<message id> <record>`, and `payload <payload>` if the record has none; an entry that rings is `bell <client id>`. */
function decodeClaim(id: string, [name = '', text = '', , payload]: readonly string[]): ClaimEntry {
  const claimed = name === 'bell' ? undefined : parseClaimedRecord(text);
  if (claimed === undefined) return { id, text: '', message: undefined, follows: text === '' ? undefined : text };
  const payloadJson = payload ?? claimed.payloadJson;
  const message = { ...claimed, messageId: name, payloadJson, attempt: 1, isFollowed: false };
  return { id, text: payloadJson ?? '', message, follows: undefined };
}

function toClaimed(reply: ClaimReply): ClaimedMessage {
  const [clientId, messageId, directive, payload, expiresAt, requestId, attempt, createdAt, isFollowed] = reply;
  return {
    clientId,
    messageId,
    directive,
    payloadJson: payload === '' ? undefined : payload,
    expiresAt: Number(expiresAt),
    requestId,
    attempt,
    createdAt: Number(createdAt),
    isFollowed: isFollowed === 1,
  };
}
