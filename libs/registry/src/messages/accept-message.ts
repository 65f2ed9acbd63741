/** Accepts messages of one shard, see `accept-messages.lua`. */
import { messageCommands } from '../commands.js';
import type { MessageKeys } from '../keys.js';

/** Why the message was refused, or `[message id, directive, created at, expires at, online 0/1, replayed 0/1]`. */
export type AcceptReply =
  | 'unknown'
  | 'building'
  | 'offline'
  | 'full'
  | 'shard-full'
  | 'account-full'
  | 'storage-full'
  | 'mismatch'
  | [id: string, directive: string, createdAt: string, expiresAt: string, online: number, replayed: number];

export const acceptMessages = messageCommands.load<
  MessageKeys,
  {
    outbox_limit: number;
    shard_limit: number;
    retention_ms: number;
    idempotency_ms: number;
    account: string;
    outbox_bytes: number;
    shard_bytes: number;
    payer: string;
    refuse: string;
    gateway: string;
    messages: readonly (string | number)[];
  },
  [activate: 0 | 1, inFlight: number, ...AcceptReply[]]
>('accept-messages');
