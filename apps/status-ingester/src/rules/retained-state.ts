/**
 * Applies a message that carries state to a connection: the client goes online, or offline with a reason, or the message
 * becomes a dead letter. Live messages and messages read back from the broker are applied in the same way. Pure.
 */
import { crc32 } from 'node:zlib';
import { answerTo, messageHead, type Refusal } from '@app/protocol';
import { truncateDetails, sameJson, type Connection, type OfflineReason, type Packet, type ToDo } from '@app/registry';
import { accountOf } from './account.js';
import { rememberApplied, wasApplied } from './applied-messages.js';
import type { Effect, Rules, Source, StatusMessage, Transition } from './effect.js';
import { forceDisconnect, handshakeResponse } from './handshake-replies.js';
import { talkEffect, talkRefusal } from './talk.js';
import { refuses, truth, type Handshake } from './truth.js';

/** Time after which the retained message on the old topic of a client that moved is cleared. */
const CLEAR_RETAINED_MS = 5000;
/** Most ids that are kept of handshakes on topics that a client has left. */
const MOST_SUPERSEDED = 8;

/** Applies a retained message on a status topic: what the broker now retains for the client. */
export function applyRetained(
  connection: Connection | undefined,
  message: StatusMessage,
  source: Source,
  rules: Rules,
): Transition {
  const found = truth(message.body, connection, message.at, source);
  if (found.state === 'online') return goOnline(connection, message, source, found.handshake, rules);
  const offline = goOffline(connection, message, found.reason, rules);
  if (found.refusal === undefined) return offline;
  const refused =
    found.reason === 'refused' && offline.connection !== undefined
      ? { ...offline.connection, refused_handshake: found.refusal.messageId }
      : offline.connection;
  const { talk } = found;
  if (talk !== undefined && wasApplied(connection, talk.message_id)) {
    return { connection: rememberDeadLetter(refused, message), effects: offline.effects };
  }
  const rejected = deadLetter(refused, message, found.refusal, rules);
  const after = rememberDeadLetter(rejected.connection, message);
  const effects = [...offline.effects, ...rejected.effects];
  if (talk === undefined) return { connection: after, effects };
  // What cannot count is a dead letter already.
  if (talkRefusal(after, talk, message.at) === undefined) effects.push(talkEffect(message, talk));
  return { connection: rememberApplied(after, talk.message_id), effects };
}

/** Applies a retained message that cannot be read: the client goes offline with the reason `unknown`. */
export function applyUnreadable(
  connection: Connection | undefined,
  message: StatusMessage,
  reason: NonNullable<Packet['refused']>,
  rules: Rules,
): Transition {
  const refusal = unreadable(reason, message.body, rules);
  if (!rules.statusTopics.includes(message.topic)) return deadLetter(connection, message, refusal, rules);
  const offline = goOffline(connection, message, 'unknown', rules);
  const rejected = deadLetter(offline.connection, message, refusal, rules);
  return {
    connection: rememberDeadLetter(rejected.connection, message),
    effects: [...offline.effects, ...rejected.effects],
  };
}

/** @param sample the beginning of what cannot be read */
export function unreadable(reason: NonNullable<Packet['refused']>, sample: string, rules: Rules): Refusal {
  const details = {
    'too-large': `the message is larger than ${rules.maxInboundBytes} bytes`,
    'not-utf8': 'the message is not UTF-8 text',
  }[reason];
  return { reason, details, messageId: null, handshake: false, ...answerTo(messageHead(sample)) };
}

/** Remembers the digest, so that the same retained message is not dead-lettered again when a sweep reads it. */
function rememberDeadLetter(
  connection: Connection | undefined,
  { topic, body }: StatusMessage,
): Connection | undefined {
  if (connection === undefined || connection.status_topic !== topic) return connection;
  return { ...connection, dead_letter_digest: digestOf(body) };
}

/** Tells retained texts apart. */
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
  // A new handshake that was read back came while the lane had no session, as after a restart of the broker.
  const isNewInReading = source === 'read-back' && before !== undefined && before.handshake_message_id !== id;
  const isFresh = source === 'live' || isNewInReading;
  const lastLiveAt = isFresh ? at : (before?.last_live_handshake_at ?? 0);
  if (wasOnline && sameTopic && before.handshake_message_id === id) {
    return {
      connection:
        lastLiveAt === before.last_live_handshake_at ? before : { ...before, last_live_handshake_at: lastLiveAt },
      effects: [],
    };
  }
  // The recorded handshake does not end the window of a force-disconnect, and the client has not come back.
  const inWindow = before !== undefined && refuses(before.refused_until, at);
  const staysForcedOff = wasOnline || inWindow;
  const type = handshake.type === 'host-handshake' ? 'host' : 'proxy';
  const stated =
    handshake.type === 'host-handshake' ? handshake.payload.canonical_facts : handshake.payload.catalog_service_facts;
  const unchanged = before !== undefined && before.type === type && sameJson(before.facts, stated);
  const superseded = before === undefined ? [] : supersededBy(before, sameTopic).filter((one) => one !== id);
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
    refused_until: inWindow ? before.refused_until : null,
    refused_handshake: null,
    unconfirmed_handshake: null,
    superseded_handshakes: superseded,
    dead_letter_digest: null,
    last_live_handshake_at: lastLiveAt,
    lane: before?.lane ?? null,
    last_event_at: before?.last_event_at ?? null,
    coalesced: before?.coalesced ?? null,
    account: owner.account,
    ...(before?.applied_messages && { applied_messages: before.applied_messages }),
    ...(staysForcedOff && before.force_disconnect && { force_disconnect: before.force_disconnect }),
    ...(owner.asked && { account_asked: owner.asked }),
  };
  const effects: Effect[] = [...owner.effects];
  const about = { client_id: clientId, connection_type: type, handshake_message_id: id } as const;
  if (!wasOnline) {
    effects.push({ kind: 'event', event: { type: 'connection.online', ...about } }, { kind: 'came-online' });
    effects.push({ kind: 'undo', todo: { do: 'forget', client_id: clientId } });
  } else {
    if (!unchanged) effects.push({ kind: 'event', event: { type: 'connection.updated', ...about } });
    // A client subscribes before it shakes hands: messages that wait for another try can be sent now.
    effects.push({ kind: 'came-online' });
  }
  if (before !== undefined && !sameTopic) {
    // Not at once: redeliveries may move the client back and forth first.
    effects.push({ kind: 'to-do', todo: clearRetained(clientId, before.status_topic), inMs: CLEAR_RETAINED_MS });
    effects.push({ kind: 'undo', todo: clearRetained(clientId, topic) });
  }
  if (!staysForcedOff && before?.force_disconnect) {
    // The client has come back, so that the force-disconnect no longer concerns it.
    effects.push({ kind: 'undo', todo: forceDisconnect(before, before.force_disconnect) });
  }
  if (rules.respond) {
    if (before !== undefined) effects.push({ kind: 'undo', todo: handshakeResponse(before) });
    if (source !== 'read-back') effects.push({ kind: 'to-do', todo: handshakeResponse(connection) });
  }
  return { connection, effects };
}

/** Ids of handshakes that may still be retained on topics that the client has left: they must not count as new. */
function supersededBy(before: Connection, sameTopic: boolean): string[] {
  if (sameTopic) return before.superseded_handshakes;
  return [...before.superseded_handshakes, before.handshake_message_id].slice(-MOST_SUPERSEDED);
}

export function goOffline(
  connection: Connection | undefined,
  { clientId, topic, at }: Omit<StatusMessage, 'body'>,
  reason: OfflineReason,
  rules: Rules,
): Transition {
  // A client that never registered has no state, and one that moved is not affected by messages on its old topic.
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
 * Reason for an already offline client. The retained message decides, except that a retained `offline` or a removed handshake
 * after a goodbye keeps the reason `goodbye`. With several lanes the order is unknown: a goodbye may be older than the retained
 * last will, or come after the removal that followed it. The reason is then the same in either order.
 */
export function reasonAfter(before: OfflineReason | null, reason: OfflineReason, lanes: number): OfflineReason {
  const inOrder = lanes === 1;
  const confirms = reason === 'handshake-removed' || (inOrder && reason === 'retained-offline');
  if (before === 'goodbye' && confirms) return before;
  if (reason !== 'goodbye') return reason;
  return before === null || (before === 'handshake-removed' && !inOrder) ? reason : before;
}

/** Makes a message that cannot be processed a dead letter, and refuses it if the protocol requires an answer. */
export function deadLetter(
  connection: Connection | undefined,
  { clientId, topic, body }: StatusMessage,
  refusal: Refusal,
  rules: Rules,
): Transition {
  const { reason, details, messageId, retryAfter } = refusal;
  const letter = { client_id: clientId, topic, reason, details, sample: body.slice(0, 1024) };
  const effects: Effect[] = [{ kind: 'dead-letter', letter, reason }];
  if (refusal.answerTo !== undefined) {
    const note = { inResponseTo: refusal.answerTo, details: truncateDetails(`an answer did not count: ${details}`) };
    effects.push({ kind: 'note', note });
  }
  const statusOnly = rules.statusTopics.includes(topic) && topic !== rules.inTopic;
  const unreadable = messageId === null && reason !== 'empty';
  if (refusal.handshake || (statusOnly && unreadable)) {
    effects.push({ kind: 'refuse', inResponseTo: messageId, details, reason, retryAfter });
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

function clearRetained(clientId: string, statusTopic: string): Extract<ToDo, { do: 'clear-retained' }> {
  return { do: 'clear-retained', client_id: clientId, status_topic: statusTopic };
}
