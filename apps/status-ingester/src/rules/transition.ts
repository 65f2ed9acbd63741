/**
 * What one mailbox message does to one connection: `(connection, message) → {connection, effects}`. Pure; all times are
 * those at which Redis stored the message.
 *
 * What the broker redelivers after a crash without the DUP flag is a suffix of what was applied, in the same order. All of it is
 * applied again, and results in the same state. Clients whose redeliveries have the flag are verified. It would not be safe to
 * skip messages of state that look known: a last will has the same id and text on every connection.
 */
import { isMessageId, isReservedClientId, messageHead, parseInbound, type Refusal, type Talk } from '@app/protocol';
import type { Connection, VerificationReason, MailboxMessage, Packet } from '@app/registry';
import { rememberApplied, wasApplied } from './applied-messages.js';
import { applyCommand } from './command.js';
import type { At, Rules, Transition } from './effect.js';
import { coalesceEvents } from './event-coalescing.js';
import { applyReserved } from './reserved-id.js';
import { applyRetainedReading } from './retained-reading.js';
import {
  applyRetained,
  applyUnreadable,
  deadLetter,
  goOffline,
  messageReceived,
  unreadable,
} from './retained-state.js';
import { talkEffect, talkRefusal } from './talk.js';
import { delayUntilAccountIsKnown } from './waiting-events.js';

/** Time after which the retained message that follows a goodbye has come. */
const CONFIRM_MS = 2000;

/** @param waitingBytes of the events on the shard that wait for the accounts of their clients */
export function transition(
  connection: Connection | undefined,
  message: MailboxMessage,
  rules: Rules,
  waitingBytes = 0,
): Transition {
  const applied = isReservedClientId(message.clientId)
    ? applyReserved(connection, message, rules)
    : apply(connection, message, rules);
  const command = message.kind === 'command' ? message.command.do : undefined;
  // Events that are flushed are not coalesced again.
  const isFlush = command === 'flush' || command === 'emit-waiting';
  const coalesced = isFlush ? applied : coalesceEvents(connection, applied, message.at, rules);
  return delayUntilAccountIsKnown(connection, coalesced, message.at, waitingBytes, rules);
}

/** A goodbye counts at once. The to-do then verifies that the broker does not retain the handshake any more. */
function confirmLater(
  before: Connection | undefined,
  { connection, effects }: Transition,
  clientId: string,
): Transition {
  const todo = { do: 'confirm', client_id: clientId } as const;
  if (before?.state === 'online' && connection?.offline_reason === 'goodbye') {
    return { connection, effects: [...effects, { kind: 'to-do', todo, inMs: CONFIRM_MS }] };
  }
  return { connection, effects };
}

/** What is retained is known now: the goodbye needs no confirmation. */
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
  if (packet.refused !== undefined) {
    return deadLetterOnce(connection, packet, unreadable(packet.refused, packet.body, rules), rules);
  }
  // The removal of a retained message that carried no state: by a client that cleans up, or by this service.
  if (packet.retain && packet.body === '') return { connection, effects: [] };

  const parsed = parseInbound(packet.body);
  if (!parsed.ok) return deadLetterOnce(connection, packet, parsed.refusal, rules);
  const { message } = parsed;
  switch (message.type) {
    case 'host-handshake':
    case 'proxy-handshake': {
      // If the client has not retained it, the verification finds that out. To refuse it could be wrong.
      if (onStatusTopic && packet.mayBeRetained === true) {
        return inLane(
          connection,
          applyRetained(connection, packet, packet.dup ? 'redelivered' : 'live', rules),
          packet,
          rules,
        );
      }
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
        return deadLetterOnce(connection, packet, refusal, rules);
      }
      return inLane(
        connection,
        confirmLater(connection, goOffline(connection, packet, 'goodbye', rules), packet.clientId),
        packet,
        rules,
      );
    case 'message-error':
    case 'message-response':
    case 'message-progress':
    case 'message':
      return applyTalk(connection, packet, message, rules);
  }
}

/** A broker may deliver it again without DUP: it has its effect once by its id. */
function applyTalk(connection: Connection | undefined, packet: Packet & At, talk: Talk, rules: Rules): Transition {
  const refusal = talkRefusal(connection, talk, packet.at);
  if (refusal !== undefined) return deadLetterOnce(connection, packet, refusal, rules);
  const received = messageReceived(connection, packet.at);
  if (wasApplied(received, talk.message_id)) return { connection: received, effects: [] };
  return { connection: rememberApplied(received, talk.message_id), effects: [talkEffect(packet, talk)] };
}

/**
 * A broker may deliver the message again without DUP: its dead letter is stored once by its id. A refused handshake is
 * refused each time, since the client may have missed the first reply.
 */
function deadLetterOnce(
  connection: Connection | undefined,
  packet: Packet & At,
  refusal: Refusal,
  rules: Rules,
): Transition {
  const { handshake, answerTo } = refusal;
  // An answer is known again also if it cannot be read: it must not be named twice in the history of its message.
  const messageId = refusal.messageId ?? (answerTo === undefined ? null : messageHead(packet.body).message_id);
  if (!isMessageId(messageId) || handshake) return deadLetter(connection, packet, refusal, rules);
  if (wasApplied(connection, messageId)) return { connection, effects: [] };
  const { connection: after, effects } = deadLetter(connection, packet, refusal, rules);
  return { connection: rememberApplied(after, messageId), effects };
}

/** Records the lane of a message that carries state, and requests a verification if its order is not known. */
function inLane(
  before: Connection | undefined,
  { connection, effects }: Transition,
  packet: Packet,
  rules: Rules,
): Transition {
  if (connection === undefined) return { connection, effects };
  const reason = verificationReason(before, connection, packet, rules);
  return {
    connection: connection.lane === packet.lane ? connection : { ...connection, lane: packet.lane },
    effects: reason === undefined ? effects : [...effects, { kind: 'verify', reason }],
  };
}

function verificationReason(
  before: Connection | undefined,
  after: Connection,
  packet: Packet,
  rules: Rules,
): VerificationReason | undefined {
  // A redelivery that was stored before does not reach a mailbox (ADR 0011). Some brokers redeliver the others in any order.
  if (packet.dup) return 'redelivery';
  if (packet.mayBeRetained === true) return 'dropped';
  if (before === undefined) return rules.lanes > 1 ? 'lanes' : undefined;
  if (before.lane !== packet.lane) return 'lanes';
  return before.status_topic === after.status_topic ? undefined : 'status-topic';
}
