/** Connections as the REST API shows them. */
import type { Connection, ConnectionFilter, PageCursor } from '@app/registry';
import { SEARCHABLE_FACTS, type SearchableFact } from '@app/registry';
import { RECONNECT_AFTER_PATTERN, parseReconnectAfter } from '@app/protocol';
import { z } from 'zod';
import { Cursor } from '../http/cursor.js';
import { pageLimit } from '../http/paging.js';
import {
  ClientIdValue,
  ConnectionStateValue,
  ConnectionTypeValue,
  NextCursor,
  OfflineReasonValue,
  ShardNumber,
  countOf,
  timeOf,
} from '../http/values.dto.js';

export const ConnectionBody = z
  .object({
    client_id: ClientIdValue,
    type: ConnectionTypeValue,
    state: ConnectionStateValue,
    facts: z.record(z.string(), z.unknown()).meta({ description: 'As in the last accepted handshake.' }),
    handshake_message_id: z.string().meta({ description: 'Id of the last accepted handshake.' }),
    connected_at: timeOf('When it last came online.'),
    disconnected_at: timeOf('').nullable().meta({ description: 'When it went offline; null while it is online.' }),
    offline_reason: OfflineReasonValue.nullable().meta({ description: 'Why it is offline; null while it is online.' }),
    last_message_at: timeOf('').nullable().meta({ description: 'When the client last said something.' }),
    account: z.string().nullable().meta({ description: 'The account that it belongs to; null if that is not known.' }),
    shard: ShardNumber,
    held_messages: countOf('Messages that wait until the client is online and has subscribed.'),
    refused_until: z
      .string()
      .nullable()
      .meta({ description: 'End of the refusal window of a force-disconnect: a timestamp, `never`, or null.' }),
  })
  .meta({ id: 'Connection', description: 'What is known about a client.' });
export type ConnectionBody = z.infer<typeof ConnectionBody>;

export const ConnectionPageBody = z
  .object({ data: z.array(ConnectionBody).meta({ description: 'The connections.' }), next_cursor: NextCursor })
  .meta({ id: 'ConnectionPage', description: 'A page of connections.' });
export type ConnectionPageBody = z.infer<typeof ConnectionPageBody>;

const shard = z.int().min(0).max(4095);
const after = z.string().max(1024);
export const CONNECTION_CURSOR = new Cursor<PageCursor>(
  z.codec(z.tuple([shard, after]), z.object({ shard, after }), {
    decode: ([shard, after]) => ({ shard, after }),
    encode: ({ shard, after }): [number, string] => [shard, after],
  }),
);

function factValue(example: string): z.ZodOptional<z.ZodString> {
  const description = 'Only connections whose handshake has this fact, letter by letter.';
  return z.string().min(1).max(1024).optional().meta({ description, example });
}

// Without an `id` for the OpenAPI document: its members are parameters of the operation.
export const ListQuery = z.strictObject({
  state: ConnectionStateValue.optional().meta({ description: 'Only connections in this state.' }),
  type: ConnectionTypeValue.optional().meta({ description: 'Only connections of this type.' }),
  client_id_prefix: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .meta({ description: 'The first characters of the client id.', example: 'rack-7-' }),
  offline_reason: OfflineReasonValue.optional().meta({
    description: 'Only connections that are offline for this reason.',
  }),
  held: z.literal('true').optional().meta({ description: 'Only connections with held messages.' }),
  refused: z
    .literal('true')
    .optional()
    .meta({ description: 'Only connections whose handshakes are refused at the moment, after a force-disconnect.' }),
  limit: pageLimit(1000),
  cursor: CONNECTION_CURSOR.parameter,
  insights_id: factValue('3f0c8a51-7d5e-4c1b-9a60-2f6c0f0d8b7e'),
  machine_id: factValue('9b1deb4d3b7d4bad9bdd2b0d7b3dcb6d'),
  bios_uuid: factValue('4c4c4544-0051-3510-8052-b4c04f4a3132'),
  subscription_manager_id: factValue('1b6c8e0e-9a07-4c7d-8a0f-5f1f4c2c9d11'),
  fqdn: factValue('device-0001.example.com'),
  ip_address: factValue('192.0.2.17'),
  mac_address: factValue('52:54:00:12:34:56'),
});
export type ListQuery = z.infer<typeof ListQuery>;

export function toFilter(query: ListQuery): ConnectionFilter {
  const facts: Partial<Record<SearchableFact, string>> = {};
  for (const fact of Object.keys(SEARCHABLE_FACTS) as SearchableFact[]) {
    const value = query[fact];
    if (value !== undefined) facts[fact] = value;
  }
  return {
    facts,
    ...(query.state && { state: query.state }),
    ...(query.type && { type: query.type }),
    ...(query.client_id_prefix !== undefined && { prefix: query.client_id_prefix }),
    ...(query.offline_reason && { offlineReason: query.offline_reason }),
    ...(query.held && { held: true }),
    ...(query.refused && { refused: true }),
  };
}

const ReconnectAfter = z
  .string()
  .max(64)
  .refine((text) => parseReconnectAfter(text, Date.now()) !== undefined, {
    error: 'must be an ISO 8601 duration such as PT30S, an RFC 3339 timestamp, or "never", and at most ten years ahead',
  })
  .meta({
    id: 'ReconnectAfter',
    description:
      'An ISO 8601 duration of weeks, or of days, hours, minutes and seconds; an RFC 3339 timestamp; or `never`, to wait for an ' +
      'operator. At most ten years ahead.',
    ...{ pattern: RECONNECT_AFTER_PATTERN, example: 'PT30S' },
  });

export const ForceDisconnectBody = z
  .strictObject({
    reconnect_after: ReconnectAfter.meta({ description: 'For how long its handshakes are refused.' }),
  })
  .meta({ id: 'ForceDisconnect', description: 'How a client is disconnected.' });
export type ForceDisconnectBody = z.infer<typeof ForceDisconnectBody>;

export const ForcedOffBody = z
  .object({
    client_id: ClientIdValue,
    refused_until: z.string().nullable().meta({
      description: 'When its handshakes are accepted again: a timestamp, `never`, or null if they already are.',
    }),
  })
  .meta({ id: 'ForcedOff', description: 'A client that is being disconnected.' });
export type ForcedOffBody = z.infer<typeof ForcedOffBody>;

const VerificationOutcome = z.enum(['agreed', 'corrected', 'unproven']).meta({
  id: 'VerificationOutcome',
  description:
    '`agreed`: the registry had what the broker retains. `corrected`: it has been corrected. `unproven`: nothing was ' +
    'found for the client, and this broker cannot prove that it retains nothing, so the connection stays as it was; ' +
    'another try brings the same.',
});

export const VerificationBody = z
  .object({
    client_id: ClientIdValue,
    state: ConnectionStateValue.meta({
      description:
        'The state that the registry has now: the one according to the broker, unless `outcome` is `unproven`.',
    }),
    offline_reason: OfflineReasonValue.nullable().meta({ description: 'Why it is offline; null if it is online.' }),
    changed: z.boolean().meta({ description: 'Whether the registry had to be corrected.' }),
    outcome: VerificationOutcome.meta({ description: 'What the comparison has found.' }),
  })
  .meta({ id: 'Verification', description: 'What the comparison of a connection with the broker has found.' });
export type VerificationBody = z.infer<typeof VerificationBody>;

export function toConnectionBody(connection: Connection, shard: number, held: number, now: number): ConnectionBody {
  return {
    client_id: connection.client_id,
    type: connection.type,
    state: connection.state,
    facts: connection.facts,
    handshake_message_id: connection.handshake_message_id,
    connected_at: iso(connection.connected_at),
    disconnected_at: connection.disconnected_at === null ? null : iso(connection.disconnected_at),
    offline_reason: connection.offline_reason,
    last_message_at: iso(connection.last_message_at),
    account: connection.account ?? null,
    shard,
    held_messages: held,
    refused_until: refusedUntil(connection.refused_until, now),
  };
}

export function refusedUntil(until: Connection['refused_until'], now: number): string | null {
  if (until === 'never') return until;
  return until !== null && until > now ? iso(until) : null;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
