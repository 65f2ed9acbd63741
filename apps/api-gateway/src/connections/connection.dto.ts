/** Connections as the REST API shows them. */
import type { Connection, ConnectionFilter, PageCursor } from '@app/registry';
import {
  CONNECTION_STATES,
  CONNECTION_TYPES,
  OFFLINE_REASONS,
  SEARCHABLE_FACTS,
  type SearchableFact,
} from '@app/registry';
import { parseReconnectAfter } from '@app/protocol';
import { z } from 'zod';
import { Cursor } from '../http/cursor.js';
import { pageLimit } from '../http/paging.js';

const time = z.iso.datetime();

export const ConnectionBody = z
  .object({
    client_id: z.string(),
    type: z.enum(CONNECTION_TYPES),
    state: z.enum(CONNECTION_STATES),
    facts: z.record(z.string(), z.unknown()).meta({ description: 'As in the last accepted handshake.' }),
    handshake_message_id: z.string(),
    connected_at: time.meta({ description: 'When it last came online.' }),
    disconnected_at: time.nullable(),
    offline_reason: z
      .enum(OFFLINE_REASONS)
      .nullable()
      // In OpenAPI 3.0, the values of a nullable enum must include null.
      .meta({ enum: [...OFFLINE_REASONS, null] }),
    last_message_at: time.nullable(),
    account: z.string().nullable().meta({ description: 'The account that it belongs to; null if that is not known.' }),
    shard: z.int(),
    held_messages: z.int().meta({ description: 'Messages that wait until the client is online and has subscribed.' }),
    refused_until: z
      .string()
      .nullable()
      .meta({ description: 'End of the refusal window of a force-disconnect: a timestamp, `never`, or null.' }),
  })
  .meta({ id: 'Connection' });
export type ConnectionBody = z.infer<typeof ConnectionBody>;

export const ConnectionPageBody = z
  .object({ data: z.array(ConnectionBody), next_cursor: z.string().nullable() })
  .meta({ id: 'ConnectionPage' });
export type ConnectionPageBody = z.infer<typeof ConnectionPageBody>;

const shard = z.int().min(0).max(4095);
const after = z.string().max(1024);
export const CONNECTION_CURSOR = new Cursor<PageCursor>(
  z.codec(z.tuple([shard, after]), z.object({ shard, after }), {
    decode: ([shard, after]) => ({ shard, after }),
    encode: ({ shard, after }): [number, string] => [shard, after],
  }),
);

const factValue = z.string().min(1).max(1024).optional();

// Without an `id` for the OpenAPI document: its members are parameters of the operation.
export const ListQuery = z.strictObject({
  state: z.enum(CONNECTION_STATES).optional(),
  type: z.enum(CONNECTION_TYPES).optional(),
  client_id_prefix: z
    .string()
    .min(1)
    .max(1024)
    .optional()
    .meta({ description: 'The first characters of the client id.', example: 'rack-7-' }),
  offline_reason: z
    .enum(OFFLINE_REASONS)
    .optional()
    .meta({ description: 'Only connections that are offline for this reason.' }),
  held: z.literal('true').optional().meta({ description: 'Only connections with held messages.' }),
  refused: z
    .literal('true')
    .optional()
    .meta({ description: 'Only connections whose handshakes are refused at the moment, after a force-disconnect.' }),
  limit: pageLimit(1000),
  cursor: CONNECTION_CURSOR.parameter,
  insights_id: factValue,
  machine_id: factValue,
  bios_uuid: factValue,
  subscription_manager_id: factValue,
  fqdn: factValue,
  ip_address: factValue,
  mac_address: factValue,
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

export const ForceDisconnectBody = z
  .strictObject({
    reconnect_after: z
      .string()
      .max(64)
      .refine((text) => parseReconnectAfter(text, Date.now()) !== undefined, {
        error:
          'must be an ISO 8601 duration such as PT30S, an RFC 3339 timestamp, or "never", and at most ten years ahead',
      })
      .meta({ example: 'PT30S' }),
  })
  .meta({ id: 'ForceDisconnect' });
export type ForceDisconnectBody = z.infer<typeof ForceDisconnectBody>;

export const ForcedOffBody = z
  .object({
    client_id: z.string(),
    refused_until: z.string().nullable().meta({
      description: 'When its handshakes are accepted again: a timestamp, `never`, or null if they already are.',
    }),
  })
  .meta({ id: 'ForcedOff' });
export type ForcedOffBody = z.infer<typeof ForcedOffBody>;

export const VerificationBody = z
  .object({
    client_id: z.string(),
    state: z.enum(CONNECTION_STATES).meta({
      description:
        'The state that the registry has now: the one according to the broker, unless `outcome` is `unproven`.',
    }),
    offline_reason: z.string().nullable(),
    changed: z.boolean().meta({ description: 'Whether the registry had to be corrected.' }),
    outcome: z.enum(['agreed', 'corrected', 'unproven']).meta({
      description:
        '`agreed`: the registry had what the broker retains. `corrected`: it has been corrected. `unproven`: nothing was ' +
        'found for the client, and this broker cannot prove that it retains nothing, so the connection stays as it was; ' +
        'another try brings the same.',
    }),
  })
  .meta({ id: 'Verification' });
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
