/** Values that several responses have: each is a named schema of the OpenAPI document. */
import { REFUSAL_REASONS } from '@app/protocol';
import {
  CONNECTION_STATES,
  CONNECTION_TYPES,
  INCOMPLETE_REASONS,
  MEMBER_ROLES,
  MESSAGE_STATUSES,
  OFFLINE_REASONS,
  SWEEP_TRIGGERS,
} from '@app/registry';
import { z } from 'zod';

export const ConnectionStateValue = z.enum(CONNECTION_STATES).meta({
  id: 'ConnectionState',
  description: 'Whether the client is connected.',
});

export const ConnectionTypeValue = z.enum(CONNECTION_TYPES).meta({
  id: 'ConnectionType',
  description: 'What the client is: a `host`, or a `proxy` that stands for others.',
});

export const OfflineReasonValue = z.enum(OFFLINE_REASONS).meta({
  id: 'OfflineReason',
  description:
    'Why a connection is offline. `goodbye`: the client said so. `retained-offline`: its last will was published, or a goodbye that ' +
    'is retained. `handshake-removed`: its retained handshake was removed. `invalid-handshake`: what is retained is no valid ' +
    'handshake. `refused`: its handshake came after a force-disconnect. `unknown`: what is retained says nothing about the state. ' +
    '`unconfirmed`: the broker restarted, and no new handshake came.',
});

export const MessageStatusValue = z.enum(MESSAGE_STATUSES).meta({
  id: 'MessageStatus',
  description:
    '`queued`: it waits to be published. `held`: the client is offline, or the broker reported that it is not subscribed. ' +
    '`in_flight`: it is being published. `sent`: the broker took it. `answered`: the client has answered. `failed`: it could not be ' +
    'sent, or the client answered with an error. `unanswered`: no answer came in time. `expired`: it was not sent in time. ' +
    '`cancelled`: a caller cancelled it.',
});

export const MemberRoleValue = z.enum(MEMBER_ROLES).meta({
  id: 'MemberRole',
  description: 'Which app a member of the cluster runs.',
});

export const IncompleteReasonValue = z.enum(INCOMPLETE_REASONS).meta({
  id: 'IncompleteReason',
  description:
    'Why a sweep may not have read everything. `cut-short`: the broker stopped sending in the middle, or sent nothing. ' +
    '`more-each-time`: each further pass brought messages that the one before had missed. `left-out`: no pass brought the ' +
    'messages of clients for which a read of their own topic found one.',
});

export const SweepTriggerValue = z.enum(SWEEP_TRIGGERS).meta({
  id: 'SweepTrigger',
  description:
    'Why a sweep was started. `start`: an ingester began to read a lane. `session-lost`: the broker had no session of a lane, which is new, ' +
    'or was lost with what waited in it. `broker-lost`: a lane lost its connection to the broker for a while. `broker-restart`: the broker restarted. ' +
    '`dropped`: the broker dropped messages. `key-space`: Redis may have lost data. `truncated`: the sweep before could not read ' +
    'everything. `interval`: `SWEEP_INTERVAL` has passed. `request`: a caller requested it.',
});

export const DeadLetterReasonValue = z.enum(REFUSAL_REASONS).meta({
  id: 'DeadLetterReason',
  description:
    'Why a message of a client could not be processed. `empty`, `not-utf8`, `not-json`, `wrong-shape`, `unknown-type`, ' +
    '`unsupported-version`: its text is no message of the protocol. `too-large`, `too-deep`: it exceeds a limit. `not-retained`, ' +
    '`wrong-topic`: it was published in another way than its type asks for. `refused-until`: its handshake came during a ' +
    'refusal. `reserved-id`: its client id cannot be used. `not-connected`: it sent no handshake before. `account-unknown`: the ' +
    'account of the client is not known. `flood`: the client sent more than its share. `internal-error`: the service failed.',
});

/** A moment, in UTC. */
export function timeOf(description: string): z.ZodISODateTime {
  return z.iso.datetime().meta({ description, example: '2026-11-30T06:00:00.000Z' });
}

/** A number of things. */
export function countOf(description: string): z.ZodInt {
  return z.int().min(0).meta({ description });
}

export const ShardNumber = z.int().min(0).meta({ description: 'Number of the shard.', example: 11 });
export const ClientIdValue = z.string().meta({ description: 'Id of the client.', example: 'device-0001' });
export const MessageIdValue = z
  .uuid()
  .meta({ description: 'Id of the message.', example: '019362c8-4b1e-7cc3-9d2a-6f1f3e5a7b90' });
export const NextCursor = z.string().nullable().meta({
  description: 'The `cursor` of the next page; null after the last page.',
});
