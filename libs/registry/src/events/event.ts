/** Events for subscribers. The Lua command that makes a change appends the event in the same step. */
import type { Redis } from '@app/platform';
import type { RefusalReason } from '@app/protocol';
import type { LogAppend } from '@app/sharding';
import { commands } from '../commands.js';
import type { ConnectionType, OfflineReason } from '../connection-state.js';
import { eventStreams } from './event-log.js';
import type { SweepTrigger } from '../reconciliation/maintenance.js';
import type { MessageStatus } from '../message-status.js';
import type { RegistryKeys } from '../keys.js';
import type { UnmatchedReason } from '../unmatched-reasons.js';
import type { Corrections, IncompleteReason } from '../reconciliation/sweeps.js';

/**
 * Changes of a connection. `flaps`: number of earlier changes of state for which no event was emitted. `changed_at`: time
 * of this change, RFC 3339, if the event is emitted later.
 */
export type ChangeEvent = { client_id: string; flaps?: number; changed_at?: string } & (
  | { type: 'connection.online' | 'connection.updated'; connection_type: ConnectionType; handshake_message_id: string }
  | { type: 'connection.offline'; reason: OfflineReason }
);

export interface MessageStatusEvent {
  type: 'message.status';
  client_id: string;
  message_id: string;
  status: MessageStatus;
  details?: string;
  /** Bytes of the payload of the answer that came. */
  answer_size?: number;
  /** The answer came after the message was final; it has kept its status. */
  late?: true;
}

/** A `message-response` that matches no message; `message_id` is its own. */
export interface UnmatchedResponseEvent {
  type: 'message.unmatched_response';
  client_id: string;
  in_response_to: string;
  message_id: string;
  reason: UnmatchedReason;
}

/** The client still works on the message. */
export interface MessageProgressEvent {
  type: 'message.progress';
  client_id: string;
  message_id: string;
  percent?: number;
  details?: string;
}

/** A client speaks first. `payload_json`: its payload as the client wrote it; absent if it sent none. Readers get it as `payload`. */
export interface ClientMessageEvent {
  type: 'client.message';
  client_id: string;
  message_id: string;
  directive: string;
  in_response_to?: string;
  payload_json?: string;
}

export type RegistryEvent =
  | ChangeEvent
  | { type: 'connection.refused'; client_id: string; reason: string; message_id: string | null }
  | MessageStatusEvent
  | { type: 'message.unmatched_error'; client_id: string; in_response_to: string; details: string }
  | UnmatchedResponseEvent
  | MessageProgressEvent
  | ClientMessageEvent;

/** An event with its time and the account of the connection, if known. */
export type DatedEvent = RegistryEvent & { at: number; account?: string | null };

/** All event types, including those about shards. */
export const EVENT_TYPES = [
  'connection.online',
  'connection.updated',
  'connection.offline',
  'connection.refused',
  'message.status',
  'message.unmatched_error',
  'message.unmatched_response',
  'message.progress',
  'client.message',
  'shard.moved',
  'sweep.started',
  'sweep.ended',
  'member.joined',
  'member.left',
  'dead_letter.added',
] as const satisfies readonly (
  RegistryEvent['type'] | KeySpaceEvent['type'] | DeadLetterEvent['type'] | 'shard.moved'
)[];
export type EventType = (typeof EVENT_TYPES)[number];

/** The event types of a subscriber that names none: those of release 0.1.0. Later types have to be named. */
export const DEFAULT_EVENT_TYPES: ReadonlySet<EventType> = new Set<EventType>([
  'connection.online',
  'connection.updated',
  'connection.offline',
  'connection.refused',
  'message.status',
  'message.unmatched_error',
  'shard.moved',
  'sweep.started',
  'sweep.ended',
]);

/** A message that could not be processed, kept for inspection. */
export interface DeadLetter {
  client_id: string;
  topic: string;
  reason: RefusalReason;
  details: string;
  /** The first 1,024 characters of the payload. */
  sample: string;
}

/** What a subscriber gets of a dead letter, which is kept once, in its own stream. */
export type DeadLetterEvent = { type: 'dead_letter.added' } & Omit<DeadLetter, 'sample'>;

/** Which processes members are: each app has a group. */
export const MEMBER_ROLES = ['gateway', 'ingester', 'dispatcher'] as const;
export type MemberRole = (typeof MEMBER_ROLES)[number];

/** Events about the whole key space, in the stream of shard 0. */
export type KeySpaceEvent =
  | { type: 'member.joined'; member: string; role: MemberRole }
  | { type: 'member.left'; member: string; role: MemberRole; reason: 'stopped' | 'overdue' }
  | { type: 'sweep.started'; sweep: string; trigger: SweepTrigger }
  | {
      type: 'sweep.ended';
      sweep: string;
      trigger: SweepTrigger;
      complete: boolean;
      incomplete_reason?: IncompleteReason;
      read: number;
      corrections: Corrections;
    };

const appendEvent = commands.load<{ log: string; events: string }, { event: string }, string>('append-event');

export async function appendKeySpaceEvent(redis: Redis, keys: RegistryKeys, event: KeySpaceEvent): Promise<void> {
  await appendEvent.run(redis, { log: keys.log(0), events: keys.events(0) }, { event: JSON.stringify(event) });
}

/** The event about a member that has acquired a shard; `member` is its id. */
export function shardMoved(keys: RegistryKeys, shard: number, epoch: number, member: string): LogAppend {
  const event = JSON.stringify({ type: 'shard.moved', shard, epoch, member });
  return { stream: eventStreams(keys, shard)[0], fields: ['at', Date.now(), 'event', event] };
}

/** Types that one client can cause in large numbers. They have their own streams, so that they displace no other events. */
const REFUSAL_TYPES: ReadonlySet<string> = new Set<EventType>([
  'connection.refused',
  'message.unmatched_error',
  'message.unmatched_response',
]);
/** Types that only those follow who may look at the cluster. */
export const CLUSTER_TYPES: ReadonlySet<string> = new Set<EventType>([
  'member.joined',
  'member.left',
  'dead_letter.added',
]);
export const TALK_TYPES: ReadonlySet<string> = new Set<EventType>(['client.message', 'message.progress']);

export function eventAppend(keys: RegistryKeys, shard: number, { at, account, ...event }: DatedEvent): LogAppend {
  const [state, talk, refusals] = eventStreams(keys, shard);
  const fields = ['at', at, 'event', textOf(event), ...(account == null ? [] : ['account', account])];
  return { stream: TALK_TYPES.has(event.type) ? talk : REFUSAL_TYPES.has(event.type) ? refusals : state, fields };
}

function textOf(event: RegistryEvent): string {
  if (event.type !== 'client.message') return JSON.stringify(event);
  const { payload_json: payload, ...rest } = event;
  const text = JSON.stringify(rest);
  return payload === undefined ? text : `${text.slice(0, -1)},"payload":${payload}}`;
}

export function deadLetterAppend(
  keys: RegistryKeys,
  shard: number,
  { at, ...letter }: DeadLetter & { at: number },
): LogAppend {
  const [, , , stream] = eventStreams(keys, shard);
  return { stream, fields: ['at', at, 'letter', JSON.stringify(letter)] };
}
