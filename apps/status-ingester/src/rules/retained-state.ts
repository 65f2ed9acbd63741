/**
 * Applies a message that bears state to a connection: it goes online, goes offline for a reason, or the message becomes
 * a dead letter. Live messages and messages read back from the broker are applied alike. Pure.
 */
import { crc32 } from 'node:zlib';
import type { MessageError, Refusal } from '@app/protocol';
import { truncateDetails, sameJson, type Connection, type OfflineReason, type Packet, type ToDo } from '@app/registry';
import { accountOf } from './account.js';
import { forceDisconnect, handshakeResponse } from './handshake-replies.js';
import type { Effect, Rules, Source, StatusMessage, Transition } from './effect.js';
import { truth, type Handshake } from './truth.js';

/** After this a client that moved to another status topic is taken to stay there. */
const CLEAR_RETAINED_MS = 5000;
/** Most handshakes on topics a client has left whose ids are remembered. */
const MOST_LEFT = 8;

/** A retained message on a status topic: from now on it is what the broker holds for the client. */
export function applyRetained(
  connection: Connection | undefined,
  message: StatusMessage,
  source: Source,
  rules: Rules,
): Transition {
  const found = truth(message.body, connection?.refused_until ?? null, message.at);
  if (found.state === 'online') return goOnline(connection, message, source, found.handshake, rules);
  const offline = goOffline(connection, message, found.reason, rules);
  if (found.refusal === undefined) return offline;
  const left =
    found.reason === 'refused' && offline.connection !== undefined
      ? { ...offline.connection, refused_handshake: found.refusal.messageId }
      : offline.connection;
  const rejected = deadLetter(left, message, found.refusal, rules);
  const failed = found.messageError === undefined ? [] : [failMessage(message.clientId, found.messageError)];
  return {
    connection: rememberDeadLetter(rejected.connection, message),
    effects: [...offline.effects, ...rejected.effects, ...failed],
  };
}

/** A retained message that cannot be read: the client's state is not known from now on. */
export function applyUnreadable(
  connection: Connection | undefined,
  message: StatusMessage,
  reason: NonNullable<Packet['refused']>,
  rules: Rules,
): Transition {
  const refusal = unreadable(reason, rules);
  if (!rules.statusTopics.includes(message.topic)) return deadLetter(connection, message, refusal, rules);
  const offline = goOffline(connection, message, 'unknown', rules);
  const rejected = deadLetter(offline.connection, message, refusal, rules);
  return {
    connection: rememberDeadLetter(rejected.connection, message),
    effects: [...offline.effects, ...rejected.effects],
  };
}

export function unreadable(reason: NonNullable<Packet['refused']>, rules: Rules): Refusal {
  const details = {
    'too-large': `the message is larger than ${rules.maxInboundBytes} bytes`,
    'not-utf8': 'the message is not UTF-8 text',
  }[reason];
  return { reason, details, messageId: null, handshake: false };
}

/** Remembers the digest, so that the same retained message is not dead-lettered again when a sweep reads it. */
function rememberDeadLetter(
  connection: Connection | undefined,
  { topic, body }: StatusMessage,
): Connection | undefined {
  if (connection === undefined || connection.status_topic !== topic) return connection;
  return { ...connection, dead_letter_digest: digestOf(body) };
}

/** Tells one retained text from another. */
export function digestOf(text: string): string {
  return crc32(text).toString(36);
}

function goOnline(
  before: Connection | undefined,
  { clientId, at, topic }: StatusMessage,
  source: Source,
  handshake: Handshake,
  rules: Rules,
): Transition {
  const id = handshake.message_id;
  const sameTopic = before?.status_topic === topic;
  const wasOnline = before?.state === 'online';
  // A handshake that was read back and is new came while the lane had no session, as after a restart of the broker.
  const isNewInReading = source === 'read-back' && before !== undefined && before.handshake_message_id !== id;
  const isFresh = source === 'live' || isNewInReading;
  const shakenAt = isFresh ? at : (before?.last_live_handshake_at ?? 0);
  if (wasOnline && sameTopic && before.handshake_message_id === id) {
    return {
      connection: shakenAt === before.last_live_handshake_at ? before : { ...before, last_live_handshake_at: shakenAt },
      effects: [],
    };
  }
  const type = handshake.type === 'host-handshake' ? 'host' : 'proxy';
  const stated =
    handshake.type === 'host-handshake' ? handshake.payload.canonical_facts : handshake.payload.catalog_service_facts;
  const unchanged = before !== undefined && before.type === type && sameJson(before.facts, stated);
  const left = before === undefined ? [] : leftBehind(before, sameTopic).filter((one) => one !== id);
  const owner = accountOf(before, clientId, rules);
  const connection: Connection = {
    client_id: clientId,
    type,
    state: 'online',
    facts: unchanged ? before.facts : stated,
    handshake_message_id: id,
    status_topic: topic,
    connected_at: wasOnline ? before.connected_at : at,
    disconnected_at: wasOnline ? before.disconnected_at : (before?.disconnected_at ?? null),
    offline_reason: null,
    last_message_at: at,
    refused_until: null,
    refused_handshake: null,
    unconfirmed_handshake: null,
    superseded_handshakes: left,
    dead_letter_digest: null,
    last_live_handshake_at: shakenAt,
    lane: before?.lane ?? null,
    last_event_at: before?.last_event_at ?? null,
    coalesced: before?.coalesced ?? null,
    account: owner.account,
    ...(wasOnline && before.force_disconnect && { force_disconnect: before.force_disconnect }),
    ...(owner.asked && { account_asked: owner.asked }),
  };
  const effects: Effect[] = [...owner.effects];
  const about = { client_id: clientId, connection_type: type, handshake_message_id: id } as const;
  if (!wasOnline) {
    effects.push({ kind: 'event', event: { type: 'connection.online', ...about } }, { kind: 'came-online' });
    effects.push({ kind: 'undo', todo: { do: 'forget', client_id: clientId } });
  } else {
    if (!unchanged) effects.push({ kind: 'event', event: { type: 'connection.updated', ...about } });
    // A client listens before it shakes hands: what waits for its next try can go out now.
    effects.push({ kind: 'came-online' });
  }
  if (before !== undefined && !sameTopic) {
    // Not at once: a redelivery can move the client back and forth before it comes to rest.
    effects.push({ kind: 'to-do', todo: clearRetained(clientId, before.status_topic), inMs: CLEAR_RETAINED_MS });
    effects.push({ kind: 'undo', todo: clearRetained(clientId, topic) });
  }
  if (!wasOnline && before?.force_disconnect) {
    // It has come back since then.
    effects.push({ kind: 'undo', todo: forceDisconnect(before, before.force_disconnect) });
  }
  if (rules.respond) {
    if (before !== undefined) effects.push({ kind: 'undo', todo: handshakeResponse(before) });
    if (source !== 'read-back') effects.push({ kind: 'to-do', todo: handshakeResponse(connection) });
  }
  return { connection, effects };
}

/** Until it has been removed, a handshake on the topic a client has left would look like a new one. */
function leftBehind(before: Connection, sameTopic: boolean): string[] {
  if (sameTopic) return before.superseded_handshakes;
  return [...before.superseded_handshakes, before.handshake_message_id].slice(-MOST_LEFT);
}

export function goOffline(
  connection: Connection | undefined,
  { clientId, topic, at }: Omit<StatusMessage, 'body'>,
  reason: OfflineReason,
  rules: Rules,
): Transition {
  // A client that never registered has no state; one that moved to another status topic has left this one behind.
  if (connection === undefined || connection.status_topic !== topic) return { connection, effects: [] };
  const dead_letter_digest = reason === 'goodbye' ? connection.dead_letter_digest : null;
  if (connection.state === 'offline') {
    const offline_reason = reasonAfter(connection.offline_reason, reason, rules.lanes);
    return { connection: { ...connection, last_message_at: at, offline_reason, dead_letter_digest }, effects: [] };
  }
  return {
    connection: {
      ...connection,
      last_message_at: at,
      state: 'offline',
      disconnected_at: at,
      offline_reason: reason,
      dead_letter_digest,
    },
    effects: [
      { kind: 'event', event: { type: 'connection.offline', client_id: clientId, reason } },
      { kind: 'to-do', todo: { do: 'forget', client_id: clientId }, inMs: rules.connectionRetentionMs },
    ],
  };
}

/**
 * Why a client that was offline before is so now. It follows what is retained, but what confirms a goodbye leaves it one. With
 * several lanes the order is not known: a goodbye may be older than the last will that is retained, and come after the
 * removal that followed it. There the outcome is the same in either order.
 */
export function reasonAfter(before: OfflineReason | null, reason: OfflineReason, lanes: number): OfflineReason {
  const inOrder = lanes === 1;
  const confirms = reason === 'handshake-removed' || (inOrder && reason === 'retained-offline');
  if (before === 'goodbye' && confirms) return before;
  if (reason !== 'goodbye') return reason;
  return before === null || (before === 'handshake-removed' && !inOrder) ? reason : before;
}

/** What cannot be processed is kept for inspection, and replied to if the protocol says so. */
export function deadLetter(
  connection: Connection | undefined,
  { clientId, topic, body }: StatusMessage,
  refusal: Refusal,
  rules: Rules,
): Transition {
  const { reason, details, messageId } = refusal;
  const letter = { client_id: clientId, topic, reason, details, sample: body.slice(0, 1024) };
  const effects: Effect[] = [{ kind: 'dead-letter', letter, reason }];
  const statusOnly = rules.statusTopics.includes(topic) && topic !== rules.inTopic;
  const unreadable = messageId === null && reason !== 'empty';
  if (refusal.handshake || (statusOnly && unreadable)) {
    effects.push({ kind: 'refuse', inResponseTo: messageId, details });
    effects.push({
      kind: 'event',
      event: { type: 'connection.refused', client_id: clientId, reason, message_id: messageId },
    });
  }
  return { connection, effects };
}

export function messageReceived(connection: Connection | undefined, at: number): Connection | undefined {
  return connection && { ...connection, last_message_at: at };
}

export function failMessage(clientId: string, { in_response_to, payload }: MessageError): Effect {
  const details = truncateDetails(payload.details);
  return { kind: 'to-do', todo: { do: 'message-error', client_id: clientId, in_response_to, details } };
}

function clearRetained(clientId: string, statusTopic: string): Extract<ToDo, { do: 'clear-retained' }> {
  return { do: 'clear-retained', client_id: clientId, status_topic: statusTopic };
}
