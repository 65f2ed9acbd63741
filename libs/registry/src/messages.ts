/** Messages as callers know them: accept, read, cancel. */
import { createHash } from 'node:crypto';
import { newMessageId, shardOf, shardOfMessageId } from '@app/protocol';
import { RedisScript, type Redis } from '@app/platform';
import { acceptScript } from './accept-message.js';
import {
  MESSAGE_LUA,
  parseHistory,
  type MessageStatus,
  type StatusChange,
  type StoredStatus,
} from './message-status.js';
import { isHeld } from './outbox.js';
import type { RegistryKeys } from './registry-keys.js';
import { encodeToDo, WAKE_AGAIN_MS } from './to-do.js';

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
  /** Offline, and the caller said `reject`. */
  | { kind: 'offline' }
  /** The connection's outbox is at its limit. */
  | { kind: 'full' }
  /** The Idempotency-Key was used with another body. */
  | { kind: 'mismatch' };

export interface StoredMessage {
  messageId: string;
  clientId: string;
  directive: string;
  status: MessageStatus;
  createdAt: number;
  expiresAt: number;
  history: StatusChange[];
}

export type CancelOutcome = { kind: 'cancelled' } | { kind: 'unknown' } | { kind: 'too-late'; status: StoredStatus };

export interface MessageLimits {
  shardCount: number;
  /** Most unfinished messages of one connection. */
  outboxLimit: number;
  /** How long a message is kept after it would have expired. */
  retentionMs: number;
}

/** How long an Idempotency-Key is remembered. */
const IDEMPOTENCY_MS = 24 * 3_600_000;

/** KEYS message, outbox, expiry · ARGV message id → the status it has now, '' where it is not known; cancelled or not. */
const cancelScript = new RedisScript<[string, number]>(
  'ccCancel',
  `${MESSAGE_LUA}
   if not move(KEYS[1], 'cancelled', now()) then return { redis.call('HGET', KEYS[1], 'status') or '', 0 } end
   redis.call('LREM', KEYS[2], 1, ARGV[1])
   redis.call('ZREM', KEYS[3], ARGV[1])
   return { 'cancelled', 1 }`,
);

export class Messages {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly limits: MessageLimits,
  ) {}

  /** Mints the id of a new message; `accept` may then be repeated with it after a lost reply. */
  mint(clientId: string): string {
    return newMessageId(shardOf(clientId, this.limits.shardCount));
  }

  /** Checks the connection and appends to its outbox, atomically. Safe to repeat with the same `messageId`. */
  async accept(messageId: string, message: NewMessage): Promise<AcceptOutcome> {
    const { keys, limits } = this;
    const { clientId, directive, payloadJson = '', idempotencyKey } = message;
    const shard = shardOf(clientId, limits.shardCount);
    const reply = await acceptScript.run(
      this.redis,
      [
        keys.index(shard, 'online', 'host'),
        keys.index(shard, 'online', 'proxy'),
        keys.connections(shard),
        keys.outbox(shard, clientId),
        keys.message(shard, messageId),
        keys.expiry(shard),
        keys.todo(shard),
        keys.idempotency(shard, clientId, idempotencyKey ?? ''),
      ],
      [
        clientId,
        messageId,
        directive,
        payloadJson,
        message.ttlMs,
        message.whenOffline === 'reject' ? 1 : 0,
        limits.outboxLimit,
        limits.retentionMs,
        encodeToDo({ do: 'wake', client_id: clientId }),
        WAKE_AGAIN_MS,
        message.requestId,
        idempotencyKey === undefined ? '' : fingerprint(message),
        IDEMPOTENCY_MS,
      ],
    );
    if (typeof reply === 'string') return { kind: reply as Exclude<AcceptOutcome['kind'], 'accepted'> };
    const [id, storedDirective, createdAt, expiresAt, online, replayed] = reply;
    return {
      kind: 'accepted',
      shard,
      replayed: replayed === 1,
      message: {
        messageId: id,
        clientId,
        directive: storedDirective,
        status: online === 1 ? 'queued' : 'held',
        createdAt: Number(createdAt),
        expiresAt: Number(expiresAt),
      },
    };
  }

  /** The message with its history, or undefined where no such message is kept. */
  async read(messageId: string): Promise<StoredMessage | undefined> {
    const shard = this.shardOf(messageId);
    if (shard === undefined) return undefined;
    const fields = await this.redis.hgetall(this.keys.message(shard, messageId));
    const { client_id: clientId, directive, status, created_at: createdAt, expires_at: expiresAt, history } = fields;
    if (clientId === undefined || status === undefined) return undefined;
    const held = status === 'queued' && (await isHeld(this.redis, this.keys, shard, clientId));
    return {
      messageId,
      clientId,
      directive: directive ?? '',
      status: held ? 'held' : (status as StoredStatus),
      createdAt: Number(createdAt),
      expiresAt: Number(expiresAt),
      history: parseHistory(history ?? ''),
    };
  }

  /** Withdraws a message that is `queued` or `held`. */
  async cancel(messageId: string): Promise<CancelOutcome> {
    const shard = this.shardOf(messageId);
    if (shard === undefined) return { kind: 'unknown' };
    const key = this.keys.message(shard, messageId);
    const clientId = await this.redis.hget(key, 'client_id');
    if (clientId === null) return { kind: 'unknown' };
    const keys = [key, this.keys.outbox(shard, clientId), this.keys.expiry(shard)];
    const [status, done] = await cancelScript.run(this.redis, keys, [messageId]);
    if (done === 1) return { kind: 'cancelled' };
    return status === '' ? { kind: 'unknown' } : { kind: 'too-late', status: status as StoredStatus };
  }

  private shardOf(messageId: string): number | undefined {
    const shard = shardOfMessageId(messageId);
    return shard !== undefined && shard < this.limits.shardCount ? shard : undefined;
  }
}

/** What makes two requests with one Idempotency-Key the same. */
function fingerprint({ directive, payloadJson, ttlMs, whenOffline }: NewMessage): string {
  return createHash('sha256')
    .update(JSON.stringify([directive, payloadJson ?? null, ttlMs, whenOffline]))
    .digest('base64url');
}
