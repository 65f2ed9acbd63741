/** What subscribers are told. Appended by the same script as the change it tells of. */
import type { Redis } from '@app/platform';
import type { ShardWrite } from '@app/sharding';
import type { ConnectionType, OfflineReason } from './connection-state.js';
import type { SweepTrigger } from './maintenance.js';
import type { MessageStatus } from './message-status.js';
import type { RegistryKeys } from './registry-keys.js';
import type { Corrections } from './sweeps.js';

/** Changes of a connection; `flaps`: so many changes of state before this one were not told. */
export type ChangeEvent = { client_id: string; flaps?: number } & (
  | { type: 'connection.online' | 'connection.updated'; connection_type: ConnectionType; handshake_message_id: string }
  | { type: 'connection.offline'; reason: OfflineReason }
);

export type RegistryEvent =
  | ChangeEvent
  | { type: 'connection.refused'; client_id: string; reason: string; message_id: string | null }
  | { type: 'message.status'; client_id: string; message_id: string; status: MessageStatus; details?: string }
  | { type: 'message.unmatched_error'; client_id: string; in_response_to: string; details: string };

/** An event as it is stored: when, and of whose connection, where that is known. */
export type DatedEvent = RegistryEvent & { at: number; account?: string | null };

/** What can be told, also of shards. */
export const EVENT_TYPES = [
  'connection.online',
  'connection.updated',
  'connection.offline',
  'connection.refused',
  'message.status',
  'message.unmatched_error',
  'shard.moved',
  'sweep.started',
  'sweep.ended',
] as const satisfies readonly (RegistryEvent['type'] | KeySpaceEvent['type'] | 'shard.moved')[];
export type EventType = (typeof EVENT_TYPES)[number];

/** Events a shard keeps; older ones are trimmed. */
export const EVENTS_KEPT = 10_000;
/** Dead letters a shard keeps; older ones are trimmed. */
export const DEAD_LETTERS_KEPT = 1_000;

/** What could not be processed, kept for inspection. */
export interface DeadLetter {
  client_id: string;
  topic: string;
  reason: string;
  details: string;
  /** The first 1,024 characters of the payload. */
  sample: string;
}

/** Events about the whole key space; told on the stream of shard 0. */
export type KeySpaceEvent =
  | { type: 'sweep.started'; sweep: string; trigger: SweepTrigger }
  | {
      type: 'sweep.ended';
      sweep: string;
      trigger: SweepTrigger;
      complete: boolean;
      read: number;
      corrections: Corrections;
    };

export async function tellAll(redis: Redis, keys: RegistryKeys, event: KeySpaceEvent): Promise<void> {
  const text = JSON.stringify(event);
  await redis.xadd(keys.events(0), 'MAXLEN', '~', EVENTS_KEPT, '*', 'at', Date.now(), 'event', text);
}

/** The event that a member has taken a shard on; `member` is its id. */
export function shardMoved(keys: RegistryKeys, shard: number, epoch: number, member: string): ShardWrite {
  const event = JSON.stringify({ type: 'shard.moved', shard, epoch, member });
  return {
    command: ['XADD', keys.events(shard), 'MAXLEN', '~', EVENTS_KEPT, '*', 'at', Date.now(), 'event', event],
  };
}
