/** The events as the OpenAPI document shows them: a named schema for each type. */
import { EVENT_STREAM_NAMES, UNMATCHED_REASONS } from '@app/registry';
import { z } from 'zod';
import { Corrections } from '../cluster/sweep.dto.js';
import {
  ClientIdValue,
  ConnectionTypeValue,
  DeadLetterReasonValue,
  IncompleteReasonValue,
  MemberRoleValue,
  MessageIdValue,
  MessageStatusValue,
  OfflineReasonValue,
  ShardNumber,
  SweepTriggerValue,
  countOf,
  timeOf,
} from '../http/values.dto.js';

const event = {
  event_id: z.string().meta({
    description:
      'The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop ' +
      'an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before.',
    example: '12-1795000000000-3',
  }),
  at: timeOf('When the event was emitted.'),
  shard: ShardNumber,
};
const about = { ...event, client_id: ClientIdValue };
const change = {
  ...about,
  changed_at: timeOf('When it happened, if that was earlier than `at`.').optional(),
  flaps: countOf('Number of earlier changes of state without an event of their own.').optional(),
};
const handshake = {
  ...change,
  connection_type: ConnectionTypeValue,
  handshake_message_id: z.string().meta({ description: 'Id of the handshake.' }),
};
const member = {
  ...event,
  member: z.string().meta({ description: 'Id of the member.' }),
  role: MemberRoleValue,
};
const sweep = { ...event, sweep: z.uuid().meta({ description: 'Id of the sweep.' }), trigger: SweepTriggerValue };

const UnmatchedReason = z.enum(UNMATCHED_REASONS).meta({
  id: 'UnmatchedReason',
  description:
    'There is no such message in the shard of this client (`unknown`), it was for another client or account (`foreign`), was never published ' +
    '(`not-published`), or has another answer (`already-final`).',
});
const LeftReason = z.enum(['stopped', 'overdue']).meta({
  id: 'MemberLeftReason',
  description: '`stopped`: it said so. `overdue`: its heartbeats did not come any more.',
});
const StreamName = z.enum(EVENT_STREAM_NAMES).meta({
  id: 'EventStreamName',
  description:
    'Events that are kept together. `state`: changes of connections, messages and the cluster. `talk`: what clients say and how far ' +
    'they have come. `refusals`: refused handshakes, and what matches no message. `dead-letters`: dead letters.',
});
const ClosedReason = z.enum(['too-slow', 'credentials', 'shutting-down']).meta({
  id: 'ClosedReason',
  description:
    'Why a stream ends. `too-slow`: nothing was read from it for 60 seconds. `credentials`: they have expired or were revoked. ' +
    '`shutting-down`: the gateway stops.',
});

/** `type`: what the member `type` of these events says, and the field `event` of the stream. */
function eventOf<Type extends string, Shape extends z.ZodRawShape>(
  type: Type,
  id: string,
  description: string,
  shape: Shape,
): z.ZodObject<{ type: z.ZodLiteral<Type> } & Shape> {
  const literal = z.literal(type).meta({ description: 'The type of the event.' });
  return z.object({ type: literal, ...shape }).meta({ id, description });
}

/** The `data` of each event, by `type`; the field `event` has the same value. */
export const EventBody = z
  .discriminatedUnion('type', [
    eventOf('connection.online', 'ConnectionOnlineEvent', 'A client came online.', handshake),
    eventOf(
      'connection.updated',
      'ConnectionUpdatedEvent',
      'A client that is online sent another handshake.',
      handshake,
    ),
    eventOf('connection.offline', 'ConnectionOfflineEvent', 'A client went offline.', {
      ...change,
      reason: OfflineReasonValue,
    }),
    eventOf('connection.refused', 'ConnectionRefusedEvent', 'A handshake was refused.', {
      ...about,
      reason: z.string().meta({ description: 'Why, for people.' }),
      message_id: z
        .string()
        .nullable()
        .meta({ description: 'Id of the handshake; null if it has none that is readable.' }),
    }),
    eventOf('message.status', 'MessageStatusEvent', 'A message reached a status.', {
      ...about,
      message_id: MessageIdValue,
      status: MessageStatusValue,
      details: z.string().optional().meta({ description: 'Why, if there is more to say.' }),
      answer_size: countOf("Bytes of the payload of the client's answer, if one came.").optional(),
      late: z
        .literal(true)
        .optional()
        .meta({ description: 'The answer came when the message was final already; the message keeps its status.' }),
    }),
    eventOf(
      'message.unmatched_error',
      'MessageUnmatchedErrorEvent',
      'A client reported an error that matches no message.',
      {
        ...about,
        in_response_to: z.string().meta({ description: 'The message that it is about, as the client says.' }),
        details: z.string().meta({ description: 'What the client reported.' }),
      },
    ),
    eventOf(
      'message.unmatched_response',
      'MessageUnmatchedResponseEvent',
      'An answer of a client matches no message.',
      {
        ...about,
        in_response_to: z.string().meta({ description: 'The message that it answers, as the client says.' }),
        message_id: z.string().meta({ description: 'The id of the response.' }),
        reason: UnmatchedReason,
      },
    ),
    eventOf('message.progress', 'MessageProgressEvent', 'A client reported how far its work has come.', {
      ...about,
      message_id: MessageIdValue,
      percent: z.number().optional().meta({ description: 'How much of the work is done, if the client said so.' }),
      details: z.string().optional().meta({ description: 'What the client said about it.' }),
    }),
    eventOf('client.message', 'ClientMessageEvent', 'A client said something of its own accord.', {
      ...about,
      message_id: z.string().meta({ description: 'The id that the client has given its message.' }),
      directive: z.string().meta({ description: 'What the message is about.' }),
      payload: z.unknown().optional().meta({ description: 'Any JSON value; absent if the client sent none.' }),
      in_response_to: z
        .string()
        .optional()
        .meta({ description: 'The message that it is about, if the client names one.' }),
    }),
    eventOf('shard.moved', 'ShardMovedEvent', 'A shard has a new owner.', {
      ...event,
      epoch: z.int().meta({ description: 'Rises with each change of the owner.' }),
      member: z.string().meta({ description: 'Id of the new owner.' }),
    }),
    eventOf('sweep.started', 'SweepStartedEvent', 'A sweep began.', sweep),
    eventOf('sweep.ended', 'SweepEndedEvent', 'A sweep ended.', {
      ...sweep,
      complete: z.boolean().meta({ description: 'Whether everything was read that the broker retains.' }),
      incomplete_reason: IncompleteReasonValue.optional(),
      read: countOf('Retained status messages read.'),
      corrections: Corrections,
    }),
    eventOf('member.joined', 'MemberJoinedEvent', 'A process became a member of the cluster.', member),
    eventOf('member.left', 'MemberLeftEvent', 'A process is no member of the cluster any more.', {
      ...member,
      reason: LeftReason,
    }),
    eventOf('dead_letter.added', 'DeadLetterAddedEvent', 'A message of a client could not be processed.', {
      ...about,
      topic: z.string().meta({ description: 'Template of its topic; empty if it was not received on a topic.' }),
      reason: DeadLetterReasonValue.meta({ description: 'Why it could not be processed.' }),
      details: z.string().meta({ description: 'Why, for people.' }),
    }),
    eventOf('gap', 'GapEvent', 'Events of a shard may be missing.', {
      at: event.at,
      shard: ShardNumber,
      streams: z.array(StreamName).meta({ description: 'Which events may be missing.' }),
      from: timeOf('Events from this time on may be missing.'),
      until: timeOf('Events until this time may be missing.'),
      details: z.string().meta({ description: 'Why, for people.' }),
    }),
    eventOf('closed', 'ClosedEvent', 'The last event of a stream that the gateway ends.', {
      at: event.at,
      reason: ClosedReason,
      details: z.string().meta({ description: 'Why, for people.' }),
    }),
  ])
  .meta({ id: 'Event', description: 'What happened: `type` says which of the schemas it has.' });
export type EventBody = z.infer<typeof EventBody>;
