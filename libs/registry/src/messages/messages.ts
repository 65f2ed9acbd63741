/** Messages as callers know them: accept, read, list, cancel. */
import { createHash } from 'node:crypto';
import { newMessageId, shardOf, shardOfMessageId } from '@app/protocol';
import { RedisScriptError, type Redis } from '@app/platform';
import { commands } from '../commands.js';
import { acceptMessages, type AcceptReply } from './accept-message.js';
import { OUTBOX_BYTES, SHARD_OUTBOX_BYTES, UNKNOWN_PAYER } from './byte-budget.js';
import { parseHistory, type MessageStatus, type StatusChange, type StoredStatus } from '../message-status.js';
import { isHeld } from './outbox.js';
import { PAGE_BYTES } from '../page-bytes.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';
import { WAKE_AGAIN_MS } from './wake-todo.js';

export interface NewMessage {
  clientId: string;
  directive: string;
  /** JSON text, or undefined for none. */
  payloadJson: string | undefined;
  ttlMs: number;
  whenOffline: 'hold' | 'reject';
  idempotencyKey: string | undefined;
  /** Follows the message into the dispatcher's logs. */
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
  /** `replayed`: the answer given before to the same Idempotency-Key; nothing new is sent. */
  | { kind: 'accepted'; message: AcceptedMessage; shard: number; replayed: boolean }
  /** The client never registered. */
  | { kind: 'unknown' }
  /** Not known, but the registry has not been compared with the broker since it was set up: it may be soon. */
  | { kind: 'building' }
  /** Offline, and the caller said `reject`. */
  | { kind: 'offline' }
  /** The connection's outbox is at its limit. */
  | { kind: 'full' }
  /** The outboxes of the connection's shard are, all together, at their limit. */
  | { kind: 'shard-full' }
  /** The messages of the caller's account, or key, take too much of the shard or of all shards. */
  | { kind: 'account-full' }
  /** Redis is above its memory mark: nothing new is stored. */
  | { kind: 'storage-full' }
  /** The Idempotency-Key was used with another body. */
  | { kind: 'mismatch' };

/** What became of messages of one shard. */
export interface Accepting {
  /** Of each message, in their order. */
  outcomes: AcceptOutcome[];
  /** The caller is to wake a dispatcher for the shard. */
  wake: boolean;
}

export interface StoredMessage {
  messageId: string;
  clientId: string;
  directive: string;
  status: MessageStatus;
  createdAt: number;
  expiresAt: number;
  history: StatusChange[];
}

/** Where a page of a connection's messages ended: the acceptance of its last one, in microseconds. */
export type MessagesCursor = number;

export interface MessagesPage {
  messages: StoredMessage[];
  /** Absent on the last page. */
  next?: MessagesCursor;
}

export type CancelOutcome = { kind: 'cancelled' } | { kind: 'unknown' } | { kind: 'too-late'; status: StoredStatus };

export interface MessageLimits {
  shardCount: number;
  /** Most unfinished messages of one connection. */
  outboxLimit: number;
  /** Most unfinished messages of one shard. */
  shardLimit: number;
  /** How long a message is kept after its end. */
  retentionMs: number;
  /** How long an Idempotency-Key is remembered: 24 hours unless said otherwise. */
  idempotencyMs?: number;
  /** Most bytes of the unfinished messages of one connection. */
  outboxBytes?: number;
  /** Most bytes of the unfinished messages of one shard; one account or key may have half of them. */
  shardBytes?: number;
}

/** Who pays for messages, and why none of them may be stored now. */
export interface Charge {
  payer: string;
  refuse?: 'account-full' | 'storage-full' | undefined;
}

const IDEMPOTENCY_MS = 24 * 3_600_000;

/** Most messages looked at for one page of a listing by status. */
const MOST_LOOKED_AT = 1000;
/** Messages of a listing that are read at a time. */
const LOADED_AT_ONCE = 250;

const cancelMessage = commands.load<
  MessageKeys,
  { message_id: string; account: string },
  [status: StoredStatus | '', cancelled: 0 | 1]
>('cancel-message');

export class Messages {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly limits: MessageLimits,
  ) {}

  /** Mints the id of a new message; `accept` may then be repeated with it after a lost reply. */
  mint(clientId: string): string {
    return newMessageId(this.shardOf(clientId));
  }

  /** The shard of a client. */
  shardOf(clientId: string): number {
    return shardOf(clientId, this.limits.shardCount);
  }

  /**
   * Checks the connections and appends to their outboxes, atomically and in this order. All are of one shard. Safe to
   * repeat with the same ids.
   */
  async accept(
    shard: number,
    messages: readonly MintedMessage[],
    within?: string,
    { payer, refuse }: Charge = { payer: UNKNOWN_PAYER },
  ): Promise<Accepting> {
    const { keys, limits } = this;
    const { outboxLimit, shardLimit, retentionMs, idempotencyMs = IDEMPOTENCY_MS } = limits;
    const { outboxBytes = OUTBOX_BYTES, shardBytes = SHARD_OUTBOX_BYTES } = limits;
    const packed: (string | number)[] = [];
    for (const message of messages) {
      const { messageId, clientId, directive, payloadJson = '', ttlMs, requestId, idempotencyKey } = message;
      packed.push(clientId, messageId, directive, payloadJson, ttlMs);
      packed.push(message.whenOffline === 'reject' ? 1 : 0, requestId);
      packed.push(idempotencyKey === undefined ? '' : fingerprint(message), idempotencyKey ?? '');
    }
    const shardKeys = { ...keys.ofMessages(shard), swept: keys.swept(shard) };
    const [wake, ...replies] = await acceptMessages.run(this.redis, shardKeys, {
      outbox_limit: outboxLimit,
      shard_limit: shardLimit,
      retention_ms: retentionMs,
      wake_grace_ms: WAKE_AGAIN_MS,
      idempotency_ms: idempotencyMs,
      account: within ?? '',
      outbox_bytes: outboxBytes,
      shard_bytes: shardBytes,
      payer,
      refuse: refuse ?? '',
      messages: packed,
    });
    return {
      outcomes: messages.map(({ clientId }, i) => outcomeOf(replies[i] ?? 'unknown', clientId, shard)),
      wake: wake === 1,
    };
  }

  /** The message with its history, or undefined if it is not stored. */
  async read(messageId: string, within?: string): Promise<StoredMessage | undefined> {
    const shard = this.shardOfMessage(messageId);
    if (shard === undefined) return undefined;
    const message = await this.load(shard, messageId, within);
    if (message?.status !== 'queued') return message;
    return (await isHeld(this.redis, this.keys, shard, message.clientId)) ? { ...message, status: 'held' } : message;
  }

  /**
   * A page of the messages of a connection that are kept, the newest first. With a status, or with long histories, a page
   * may be short of its limit and still have a next one.
   */
  async list(
    clientId: string,
    limit: number,
    status?: MessageStatus,
    cursor?: MessagesCursor,
    within?: string,
  ): Promise<MessagesPage> {
    const shard = this.shardOf(clientId);
    const index = this.keys.messages(shard, clientId);
    const held = await isHeld(this.redis, this.keys, shard, clientId);
    const messages: StoredMessage[] = [];
    let from = cursor === undefined ? '+inf' : `(${cursor}`;
    let bytes = 0;
    for (let lookedAt = 0; lookedAt < MOST_LOOKED_AT && bytes < PAGE_BYTES;) {
      const wanted = Math.min(limit + 1, MOST_LOOKED_AT - lookedAt, LOADED_AT_ONCE);
      const found = await this.redis.zrevrangebyscore(index, from, '-inf', 'WITHSCORES', 'LIMIT', 0, wanted);
      const entries = pairs(found);
      const loaded = await Promise.all(entries.map(([id]) => this.load(shard, id, within)));
      for (const [i, message] of loaded.entries()) {
        if (message?.status === 'queued' && held) message.status = 'held';
        if (message !== undefined && (status ?? message.status) === message.status) {
          // Where the page is full, this one shows that there is another.
          if (messages.length === limit) return { messages, next: Number(from.slice(1)) };
          messages.push(message);
        }
        from = `(${entries[i]?.[1]}`;
        bytes += message === undefined ? 0 : sizeOf(message);
      }
      lookedAt += entries.length;
      if (entries.length < wanted) return { messages };
    }
    return { messages, next: Number(from.slice(1)) };
  }

  /** Withdraws a message that is `queued` or `held`. */
  async cancel(messageId: string, within?: string): Promise<CancelOutcome> {
    const shard = this.shardOfMessage(messageId);
    if (shard === undefined) return { kind: 'unknown' };
    const args = { message_id: messageId, account: within ?? '' };
    const [status, done] = await cancelMessage.run(this.redis, this.keys.ofMessages(shard), args);
    if (done === 1) return { kind: 'cancelled' };
    return status === '' ? { kind: 'unknown' } : { kind: 'too-late', status };
  }

  private async load(shard: number, messageId: string, within?: string): Promise<StoredMessage | undefined> {
    const key = this.keys.message(shard, messageId);
    const fields = ['client_id', 'directive', 'status', 'created_at', 'expires_at', 'history', 'account'];
    const stored = await this.redis.hmget(key, ...fields).catch((error: unknown) => {
      // It is no hash: the next drain makes it a dead letter.
      if (error instanceof RedisScriptError) return [];
      throw error;
    });
    const [clientId, directive, status, createdAt, expiresAt, history, account] = stored;
    if (clientId == null || status == null) return undefined;
    if (within !== undefined && account !== within) return undefined;
    return {
      messageId,
      clientId,
      directive: directive ?? '',
      status: status as StoredStatus,
      createdAt: Number(createdAt),
      expiresAt: Number(expiresAt),
      history: parseHistory(history ?? ''),
    };
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

/** About the bytes of what a message's listing shows of it: its history can be long. */
function sizeOf({ directive, history }: StoredMessage): number {
  return history.reduce((bytes, { details = '' }) => bytes + 32 + details.length, directive.length);
}

/** Members and scores, which Redis gives in one list. */
function pairs(flat: readonly string[]): [member: string, score: string][] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? '', flat[2 * i + 1] ?? '']);
}

/** What makes two requests with one Idempotency-Key the same. */
function fingerprint({ directive, payloadJson, ttlMs, whenOffline }: NewMessage): string {
  return createHash('sha256')
    .update(JSON.stringify([directive, payloadJson ?? null, ttlMs, whenOffline]))
    .digest('base64url');
}
