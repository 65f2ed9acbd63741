/** The query of the event stream, and the schema of the events in the OpenAPI document. */
import {
  EVENT_STREAM_NAMES,
  EVENT_TYPES,
  INCOMPLETE_REASONS,
  MEMBER_ROLES,
  MESSAGE_STATUSES,
  UNMATCHED_REASONS,
  type EventType,
} from '@app/registry';
import { z } from 'zod';
import { Corrections } from '../cluster/sweep.dto.js';
import { ClientIdParam, TimestampParam } from '../http/validation.js';

const typesError = `must name events, with commas between them: ${EVENT_TYPES.join(', ')}; "connection.*" names all of a kind`;

function typesNamed(name: string): EventType[] {
  return EVENT_TYPES.filter((type) => type === name || (name.endsWith('.*') && type.startsWith(name.slice(0, -1))));
}

// Without an `id` for the OpenAPI document: its members are parameters of the operation.
export const EventsQuery = z.strictObject({
  types: z
    .string()
    .optional()
    .transform((text, ctx): ReadonlySet<EventType> | undefined => {
      if (text === undefined) return undefined;
      const named = text.split(',').map(typesNamed);
      if (named.every((types) => types.length > 0)) return new Set(named.flat());
      ctx.addIssue({ code: 'custom', message: typesError });
      return z.NEVER;
    })
    .meta({
      description:
        'Only events of these types, with commas between them; `connection.*` names all of a kind. Without it, all types but ' +
        '`message.progress`, `message.unmatched_response`, `client.message`, which needs the scope `messages:read` as well, and ' +
        '`member.joined`, `member.left` and `dead_letter.added`, which need `cluster:read` as well.',
      example: 'message.status',
    }),
  client_id: ClientIdParam.optional().meta({ description: 'Only events of this client.' }),
  since: TimestampParam.optional().meta({
    description:
      'The stream begins with the events whose `at` is then or later, as far as they are kept, and goes on with new ones; a ' +
      '`gap` says that earlier events of a shard may be missing. A time in the future, by the clock of the service, means: from ' +
      'now on. It is ignored if `Last-Event-ID` is sent: an `EventSource` that reconnects sends both.',
    example: '2026-11-30T06:00:00Z',
  }),
});
export type EventsQuery = z.infer<typeof EventsQuery>;

const time = z.iso.datetime();
const event = {
  event_id: z.string().meta({
    description:
      'The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop ' +
      'an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before.',
    example: '12-1795000000000-3',
  }),
  at: time,
  shard: z.int(),
};
const about = { ...event, client_id: z.string() };
const change = {
  ...about,
  changed_at: time.optional().meta({ description: 'When it happened, if that was earlier than `at`.' }),
  flaps: z.int().optional().meta({ description: 'Number of earlier changes of state without an event of their own.' }),
};
const handshake = { ...change, connection_type: z.enum(['host', 'proxy']), handshake_message_id: z.string() };

/** The `data` of each event, by `type`; the field `event` has the same value. */
export const EventBody = z.discriminatedUnion('type', [
  z.object({ type: z.literal('connection.online'), ...handshake }),
  z.object({ type: z.literal('connection.updated'), ...handshake }),
  z.object({ type: z.literal('connection.offline'), ...change, reason: z.string() }),
  z.object({
    type: z.literal('connection.refused'),
    ...about,
    reason: z.string(),
    message_id: z.string().nullable(),
  }),
  z.object({
    type: z.literal('message.status'),
    ...about,
    message_id: z.uuid(),
    status: z.enum(MESSAGE_STATUSES),
    details: z.string().optional(),
    answer_size: z.int().optional().meta({ description: "Bytes of the payload of the client's answer, if one came." }),
    late: z
      .literal(true)
      .optional()
      .meta({ description: 'The answer came when the message was final already; the message keeps its status.' }),
  }),
  z.object({
    type: z.literal('message.unmatched_error'),
    ...about,
    in_response_to: z.string(),
    details: z.string(),
  }),
  z.object({
    type: z.literal('message.unmatched_response'),
    ...about,
    in_response_to: z.string(),
    message_id: z.string().meta({ description: 'The id of the response.' }),
    reason: z.enum(UNMATCHED_REASONS).meta({
      description:
        'There is no such message in the shard of this client (`unknown`), it was for another client or account (`foreign`), was never published ' +
        '(`not-published`), or has another answer (`already-final`).',
    }),
  }),
  z.object({
    type: z.literal('message.progress'),
    ...about,
    message_id: z.uuid(),
    percent: z.number().optional(),
    details: z.string().optional(),
  }),
  z.object({
    type: z.literal('client.message'),
    ...about,
    message_id: z.string(),
    directive: z.string(),
    payload: z.unknown().optional().meta({ description: 'Any JSON value; absent if the client sent none.' }),
    in_response_to: z
      .string()
      .optional()
      .meta({ description: 'The message that it is about, if the client names one.' }),
  }),
  z.object({ type: z.literal('shard.moved'), ...event, epoch: z.int(), member: z.string() }),
  z.object({ type: z.literal('sweep.started'), ...event, sweep: z.uuid(), trigger: z.string() }),
  z.object({
    type: z.literal('sweep.ended'),
    ...event,
    sweep: z.uuid(),
    trigger: z.string(),
    complete: z.boolean(),
    incomplete_reason: z.enum(INCOMPLETE_REASONS).optional(),
    read: z.int(),
    corrections: Corrections,
  }),
  z.object({ type: z.literal('member.joined'), ...event, member: z.string(), role: z.enum(MEMBER_ROLES) }),
  z.object({
    type: z.literal('member.left'),
    ...event,
    member: z.string(),
    role: z.enum(MEMBER_ROLES),
    reason: z
      .enum(['stopped', 'overdue'])
      .meta({ description: '`stopped`: it said so. `overdue`: its heartbeats did not come any more.' }),
  }),
  z.object({
    type: z.literal('dead_letter.added'),
    ...about,
    topic: z.string().meta({ description: 'Template of its topic; empty if it was not received on a topic.' }),
    reason: z.string(),
    details: z.string(),
  }),
  z.object({
    type: z.literal('gap'),
    at: time,
    shard: z.int(),
    streams: z.array(z.enum(EVENT_STREAM_NAMES)).meta({ description: 'Which events may be missing.' }),
    from: time,
    until: time,
    details: z.string(),
  }),
  z.object({
    type: z.literal('closed'),
    at: time,
    reason: z.enum(['too-slow', 'credentials', 'shutting-down']),
    details: z.string(),
  }),
]);
export type EventBody = z.infer<typeof EventBody>;
