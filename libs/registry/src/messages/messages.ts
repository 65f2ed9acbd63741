/** Accepts, reads, lists and cancels messages on behalf of callers. */
import { createHash } from 'node:crypto';
import { newMessageId, shardOf, shardOfMessageId } from '@app/protocol';
import type { Redis } from '@app/platform';
import { messageCommands } from '../commands.js';
import { acceptMessages, type AcceptReply } from './accept-message.js';
import { OUTBOX_BYTES, SHARD_OUTBOX_BYTES, UNKNOWN_PAYER } from './byte-budget.js';
import type { MessageStatus, StoredStatus } from '../message-status.js';
import { isHeld } from './outbox.js';
import { loadMessage, sizeOf, withAnswer, type StoredMessage } from './stored-messages.js';
import { PAGE_BYTES } from '../page-bytes.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';

export interface NewMessage {
  clientId: string;
  directive: string;
  /** JSON text, or undefined for none. */
  payloadJson: string | undefined;
  ttlMs: number;
  whenOffline: 'hold' | 'reject';
  /** How long the message awaits an answer after it was sent; undefined if it does not. */
  responseTimeoutMs?: number | undefined;
  idempotencyKey: string | undefined;
  /** The dispatcher logs it with the message. */
  requestId: string;
}

export interface MintedMessage extends NewMessage {
  messageId: string;
}

export interface AcceptedMessage {
  messageId: string;
  clientId: string;
  directive: string;
  status: Extract<MessageStatus, 'queued' | 'held'>;
  createdAt: number;
  expiresAt: number;
}

export type AcceptOutcome =
  /** `replayed`: the answer to an earlier request with the same Idempotency-Key; no new message is sent. */
  | { kind: 'accepted'; message: AcceptedMessage; shard: number; replayed: boolean }
  /** The client never registered. */
  | { kind: 'unknown' }
  /** The client is unknown, but no sweep has completed since the key space was created: a sweep may still register it. */
  | { kind: 'building' }
  /** The client is offline, and the caller asked for `reject`. */
  | { kind: 'offline' }
  /** The connection's outbox is at its limit. */
  | { kind: 'full' }
  /** The outboxes of the connection's shard are together at their limit. */
  | { kind: 'shard-full' }
  /** The messages of the caller's account or API key take too much of the shard or of all shards. */
  | { kind: 'account-full' }
  /** Redis uses more memory than the configured limit: no new message is stored. */
  | { kind: 'storage-full' }
  /** The Idempotency-Key was used with another body. */
  | { kind: 'mismatch' };

/** The result of accepting messages of one shard. */
export interface AcceptResult {
  /** One for each message, in the order of the messages. */
  outcomes: AcceptOutcome[];
  /** Whether the caller must activate the outbound side of the shard. */
  wake: boolean;
  /** Number of the payer's messages in flight in this shard: what is due, and is not published yet. */
  inFlight: number;
}

/** The end of a page of a connection's messages: when its last one was accepted, in microseconds. */
export type MessagesCursor = number;

export interface MessagesPage {
  messages: StoredMessage[];
  /** How many messages it has looked at. */
  lookedAt: number;
  /** Absent on the last page. */
  next?: MessagesCursor;
}

export type CancelOutcome = { kind: 'cancelled' } | { kind: 'unknown' } | { kind: 'too-late'; status: StoredStatus };

export interface MessageLimits {
  shardCount: number;
  /** Limit for the unfinished messages of one connection. */
  outboxLimit: number;
  /** Limit for the unfinished messages of one shard. */
  shardLimit: number;
  /** How long a finished message is kept. */
  retentionMs: number;
  /** How long the answer to an Idempotency-Key is kept; 24 hours by default. */
  idempotencyMs?: number;
  /** Limit for the bytes of one connection's unfinished messages. */
  outboxBytes?: number;
  /** Limit for the bytes of one shard's unfinished messages; one payer may use half of it. */
  shardBytes?: number;
}

/** The payer of messages. */
export interface Charge {
  payer: string;
  /** Why no new message may be stored now; undefined if it may. */
  refuse?: 'account-full' | 'storage-full' | undefined;
}

const IDEMPOTENCY_MS = 24 * 3_600_000;

/** Messages that are checked for one page of a listing by status, at most. */
const MAX_CHECKED = 1000;
/** Messages that a listing reads at the same time, at most. */
const MAX_LOADED = 250;

const cancelMessage = messageCommands.load<
  MessageKeys,
  { message_id: string; account: string },
  [status: StoredStatus | '', cancelled: 0 | 1]
>('cancel-message');

const registerWaiting = messageCommands.load<
  MessageKeys,
  { message_id: string; gateway: string; account: string },
  'registered' | 'unknown' | 'full'
>('register-waiting');

export class Messages {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly limits: MessageLimits,
  ) {}

  /** Makes the id of a new message, with which `accept` may be repeated after a lost reply. */
  mint(clientId: string): string {
    return newMessageId(this.shardOf(clientId));
  }

  shardOf(clientId: string): number {
    return shardOf(clientId, this.limits.shardCount);
  }

  /**
   * Checks the connections and appends to their outboxes in one atomic step. All messages belong to one shard. Safe to
   * repeat with the same ids.
   * @param account the account to which the caller is bound
   * @param gatewayId the gateway that waits until the messages are final, see `FinalMessages`
   */
  async accept(
    shard: number,
    messages: readonly MintedMessage[],
    account?: string,
    { payer, refuse }: Charge = { payer: UNKNOWN_PAYER },
    gatewayId?: string,
  ): Promise<AcceptResult> {
    const { keys, limits } = this;
    const { outboxLimit, shardLimit, retentionMs, idempotencyMs = IDEMPOTENCY_MS } = limits;
    const { outboxBytes = OUTBOX_BYTES, shardBytes = SHARD_OUTBOX_BYTES } = limits;
    const packed: (string | number)[] = [];
    for (const message of messages) {
      const { messageId, clientId, directive, payloadJson = '', ttlMs, requestId, idempotencyKey } = message;
      packed.push(clientId, messageId, directive, payloadJson, ttlMs);
      packed.push(message.whenOffline === 'reject' ? 1 : 0, requestId);
      packed.push(idempotencyKey === undefined ? '' : fingerprint(message), idempotencyKey ?? '');
      packed.push(message.responseTimeoutMs ?? '');
    }
    const [wake, inFlight, ...replies] = await acceptMessages.run(this.redis, keys.ofMessages(shard), {
      outbox_limit: outboxLimit,
      shard_limit: shardLimit,
      retention_ms: retentionMs,
      idempotency_ms: idempotencyMs,
      account: account ?? '',
      outbox_bytes: outboxBytes,
      shard_bytes: shardBytes,
      payer,
      refuse: refuse ?? '',
      gateway: gatewayId ?? '',
      messages: packed,
    });
    return {
      outcomes: messages.map(({ clientId }, i) => outcomeOf(replies[i] ?? 'unknown', clientId, shard)),
      wake: wake === 1,
      inFlight,
    };
  }

  /** The message with its history; undefined if it is not stored. */
  async read(messageId: string, account?: string): Promise<StoredMessage | undefined> {
    const shard = this.shardOfMessage(messageId);
    if (shard === undefined) return undefined;
    const record = await loadMessage(this.redis, this.keys, shard, messageId, account);
    if (record === undefined) return undefined;
    const message = await withAnswer(this.redis, this.keys, shard, messageId, record);
    if (message.status !== 'queued') return message;
    return (await isHeld(this.redis, this.keys, shard, message.clientId)) ? { ...message, status: 'held' } : message;
  }

  /**
   * A page of the stored messages of a connection, newest first. If a status is given, or histories are long, a page may
   * be shorter than its limit and still have a next one. `since`: only those accepted then or later, epoch milliseconds.
   */
  async list(
    clientId: string,
    limit: number,
    status?: MessageStatus,
    cursor?: MessagesCursor,
    account?: string,
    since?: number,
  ): Promise<MessagesPage> {
    const shard = this.shardOf(clientId);
    const index = this.keys.messages(shard, clientId);
    const haveHeldMessages = await isHeld(this.redis, this.keys, shard, clientId);
    const messages: StoredMessage[] = [];
    const oldest = since === undefined ? '-inf' : `${since * 1000}`;
    let from = cursor === undefined ? '+inf' : `(${cursor}`;
    let [bytes, lookedAt] = [0, 0];
    for (let checked = 0; checked < MAX_CHECKED && bytes < PAGE_BYTES;) {
      const wanted = Math.min(limit + 1, MAX_CHECKED - checked, MAX_LOADED);
      const found = await this.redis.zrevrangebyscore(index, from, oldest, 'WITHSCORES', 'LIMIT', 0, wanted);
      const entries = pairs(found);
      const loaded = await Promise.all(entries.map(([id]) => loadMessage(this.redis, this.keys, shard, id, account)));
      for (const [i, record] of loaded.entries()) {
        const [messageId = '', acceptedAt] = entries[i] ?? [];
        const shown: MessageStatus | undefined =
          record?.status === 'queued' && haveHeldMessages ? 'held' : record?.status;
        if (record !== undefined && shown !== undefined && (status ?? shown) === shown) {
          // The page is full, and this message belongs to the next one.
          if (messages.length === limit || bytes >= PAGE_BYTES)
            return { messages, lookedAt, next: Number(from.slice(1)) };
          const message = { ...(await withAnswer(this.redis, this.keys, shard, messageId, record)), status: shown };
          messages.push(message);
          bytes += message.answer?.payloadJson?.length ?? 0;
        }
        from = `(${acceptedAt}`;
        lookedAt++;
        bytes += record === undefined ? 0 : sizeOf(record);
      }
      checked += entries.length;
      if (entries.length < wanted) return { messages, lookedAt };
    }
    return { messages, lookedAt, next: Number(from.slice(1)) };
  }

  /**
   * Registers a gateway with a message, see `FinalMessages`; read the message then, since it may be final already.
   * @returns `full`: too many gateways are registered with it
   */
  async register(messageId: string, gatewayId: string, account?: string): Promise<'registered' | 'unknown' | 'full'> {
    const shard = this.shardOfMessage(messageId);
    if (shard === undefined) return 'unknown';
    const args = { message_id: messageId, gateway: gatewayId, account: account ?? '' };
    return registerWaiting.run(this.redis, this.keys.ofMessages(shard), args);
  }

  /** Cancels a message that is `queued` or `held`. */
  async cancel(messageId: string, account?: string): Promise<CancelOutcome> {
    const shard = this.shardOfMessage(messageId);
    if (shard === undefined) return { kind: 'unknown' };
    const args = { message_id: messageId, account: account ?? '' };
    const [status, isCancelled] = await cancelMessage.run(this.redis, this.keys.ofMessages(shard), args);
    if (isCancelled === 1) return { kind: 'cancelled' };
    return status === '' ? { kind: 'unknown' } : { kind: 'too-late', status };
  }

  private shardOfMessage(messageId: string): number | undefined {
    const shard = shardOfMessageId(messageId);
    return shard !== undefined && shard < this.limits.shardCount ? shard : undefined;
  }
}

function outcomeOf(reply: AcceptReply, clientId: string, shard: number): AcceptOutcome {
  if (typeof reply === 'string') return { kind: reply };
  const [messageId, directive, createdAt, expiresAt, online, replayed] = reply;
  return {
    kind: 'accepted',
    shard,
    replayed: replayed === 1,
    message: {
      messageId,
      clientId,
      directive,
      status: online === 1 ? 'queued' : 'held',
      createdAt: Number(createdAt),
      expiresAt: Number(expiresAt),
    },
  };
}

/** Pairs members with scores, which Redis returns in one list. */
function pairs(flat: readonly string[]): [member: string, score: string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? '', flat[2 * i + 1] ?? '']);
}

/** Digest of the request's content. Requests with the same Idempotency-Key must have the same fingerprint. */
function fingerprint({ directive, payloadJson, ttlMs, whenOffline, responseTimeoutMs }: NewMessage): string {
  // Keys that were stored before there were response timeouts have to match still.
  const expected = responseTimeoutMs === undefined ? [] : [responseTimeoutMs];
  return createHash('sha256')
    .update(JSON.stringify([directive, payloadJson ?? null, ttlMs, whenOffline, ...expected]))
    .digest('base64url');
}
