/**
 * What one mailbox message does to one connection: `(connection, message) → {connection, effects}`. Pure; all
 * times are those at which Redis stored the message.
 *
 * What a lane gets again after a crash is a suffix of what was applied, in its order. It is applied again, whole: the
 * state comes out the same. Leaving out of it what looks known would not be safe, since a last will carries the same
 * id and text on every connection.
 */
import { isReservedClientId, parseInbound, type Refusal } from '@app/protocol';
import type { Connection, VerificationReason, MailboxMessage, Packet } from '@app/registry';
import { applyCommand } from './command.js';
import type { At, Rules, Transition } from './effect.js';
import {
  applyRetained,
  applyUnreadable,
  failMessage,
  goOffline,
  messageReceived,
  deadLetter,
  unreadable,
} from './retained-state.js';
import { applyReserved } from './reserved-id.js';
import { coalesceEvents } from './event-coalescing.js';
import { applyRetainedReading } from './retained-reading.js';
import { whileAccountIsAsked } from './waiting-events.js';

export type { Effect, Rules, Transition } from './effect.js';

/** The retained message that follows a goodbye has come by then. */
const CONFIRM_MS = 2000;

/** `waitingBytes`: of the events on the shard that wait for the accounts of their clients. */
export function transition(
  connection: Connection | undefined,
  message: MailboxMessage,
  rules: Rules,
  waitingBytes = 0,
): Transition {
  const made = isReservedClientId(message.clientId)
    ? applyReserved(connection, message, rules)
    : apply(connection, message, rules);
  const command = message.kind === 'command' ? message.command.do : undefined;
  // An event that is flushed is not coalesced again.
  const isFlush = command === 'flush' || command === 'emit-waiting';
  const coalesced = isFlush ? made : coalesceEvents(connection, made, message.at, rules);
  return whileAccountIsAsked(connection, coalesced, message.at, waitingBytes);
}

/** A goodbye counts at once; that the broker holds the handshake no more is to be confirmed by what is retained. */
function confirming(before: Connection | undefined, { connection, effects }: Transition, clientId: string): Transition {
  const todo = { do: 'confirm', client_id: clientId } as const;
  if (before?.state === 'online' && connection?.offline_reason === 'goodbye') {
    return { connection, effects: [...effects, { kind: 'to-do', todo, inMs: CONFIRM_MS }] };
  }
  return { connection, effects };
}

/** What is retained has been received: the goodbye needs no confirmation any more. */
function confirmed(before: Connection | undefined, { connection, effects }: Transition, clientId: string): Transition {
  if (before?.offline_reason !== 'goodbye') return { connection, effects };
  return { connection, effects: [...effects, { kind: 'undo', todo: { do: 'confirm', client_id: clientId } }] };
}

function apply(connection: Connection | undefined, message: MailboxMessage, rules: Rules): Transition {
  switch (message.kind) {
    case 'packet':
      return applyPacket(connection, message, rules);
    case 'verified':
      return confirmed(connection, applyRetainedReading(connection, message, rules), message.clientId);
    case 'command':
      return applyCommand(connection, message, rules);
  }
}

function applyPacket(connection: Connection | undefined, packet: Packet & At, rules: Rules): Transition {
  const onStatusTopic = rules.statusTopics.includes(packet.topic);
  if (packet.retain && onStatusTopic) {
    const applied =
      packet.refused === undefined
        ? applyRetained(connection, packet, packet.dup ? 'redelivered' : 'live', rules)
        : applyUnreadable(connection, packet, packet.refused, rules);
    return inLane(connection, confirmed(connection, applied, packet.clientId), packet, rules);
  }
  if (packet.refused !== undefined) return deadLetter(connection, packet, unreadable(packet.refused, rules), rules);
  // The removal of a retained message that carried no state, by a client that cleans up or by ourselves.
  if (packet.retain && packet.body === '') return { connection, effects: [] };

  const parsed = parseInbound(packet.body);
  if (!parsed.ok) return deadLetter(connection, packet, parsed.refusal, rules);
  const { message } = parsed;
  switch (message.type) {
    case 'host-handshake':
    case 'proxy-handshake': {
      const refusal: Refusal = onStatusTopic
        ? {
            reason: 'not-retained',
            details: 'a handshake must be retained: publish it again with the retain flag set',
            messageId: message.message_id,
            handshake: true,
          }
        : {
            reason: 'wrong-topic',
            details: `connection state belongs on ${rules.statusTopics.join(' or ')}: publish the handshake there`,
            messageId: message.message_id,
            handshake: true,
          };
      return deadLetter(connection, packet, refusal, rules);
    }
    case 'offline':
      if (!onStatusTopic) {
        const details = `connection state belongs on ${rules.statusTopics.join(' or ')}`;
        const refusal: Refusal = { reason: 'wrong-topic', details, messageId: message.message_id, handshake: false };
        return deadLetter(connection, packet, refusal, rules);
      }
      return inLane(
        connection,
        confirming(connection, goOffline(connection, packet, 'goodbye', rules), packet.clientId),
        packet,
        rules,
      );
    case 'message-error':
      return { connection: messageReceived(connection, packet.at), effects: [failMessage(packet.clientId, message)] };
  }
}

/** Records the lane of a message that bears state, and requests a verification if its order is not known (rule 2). */
function inLane(
  before: Connection | undefined,
  { connection, effects }: Transition,
  packet: Packet,
  rules: Rules,
): Transition {
  if (connection === undefined) return { connection, effects };
  const reason = doubtOf(before, connection, packet, rules);
  return {
    connection: connection.lane === packet.lane ? connection : { ...connection, lane: packet.lane },
    effects: reason === undefined ? effects : [...effects, { kind: 'verify', reason }],
  };
}

function doubtOf(
  before: Connection | undefined,
  after: Connection,
  packet: Packet,
  rules: Rules,
): VerificationReason | undefined {
  // One lane brings everything in order, and what it brings again and had stored never reaches a mailbox (ADR 0011).
  if (packet.dup && rules.lanes > 1) return 'redelivery';
  if (before === undefined) return rules.lanes > 1 ? 'lanes' : undefined;
  if (before.lane !== packet.lane) return 'lanes';
  return before.status_topic === after.status_topic ? undefined : 'status-topic';
}
