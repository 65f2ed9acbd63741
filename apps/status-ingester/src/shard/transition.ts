/**
 * What one mailbox message does to one connection: `(connection, message) → {connection, effects}`. Pure; all
 * times are those at which Redis stored the message.
 *
 * What a lane gets again and had stored is left out before it comes here (ADR 0011). Where Redis has lost the names it
 * is known by, it is a suffix of what was applied, in its order, and is applied again, whole: the state comes out the
 * same. Leaving out of it what looks known would not be safe: a last will carries the same id on every connection.
 */
import { parseInbound, parseReconnectAfter, type MessageError, type Refusal, type RefusalReason } from '@app/protocol';
import {
  brief,
  sameJson,
  type CommandMessage,
  type CommandOutcome,
  type Connection,
  type DoubtReason,
  type DeadLetter,
  type MailboxMessage,
  type OfflineReason,
  type Packet,
  type RegistryEvent,
  type Retained,
  type ToDo,
  type Verified,
} from '@app/registry';
import { refuses, truth, type Handshake } from './truth.js';

export interface Rules {
  /** Templates of the topics that carry connection state. */
  statusTopics: readonly string[];
  /** Template of the topic that carries everything else. */
  inTopic: string;
  /** Answer accepted live handshakes. */
  respond: boolean;
  connectionRetentionMs: number;
  /** Lanes that take part: with one, the first message of a client cannot have been overtaken. */
  lanes: number;
  maxInboundBytes: number;
}

export type Effect =
  | { kind: 'event'; event: RegistryEvent }
  | { kind: 'dead-letter'; letter: DeadLetter; reason: RefusalReason }
  /** Done by the owner after the commit; `inMs` later than now where given. */
  | { kind: 'to-do'; todo: ToDoWithoutId; inMs?: number }
  | { kind: 'undo'; todo: ToDo }
  /** The client is to be verified. */
  | { kind: 'doubt'; reason: DoubtReason; reply?: CommandMessage['reply'] }
  /** A verification was applied. */
  | { kind: 'verified'; changed: boolean; answer: CommandOutcome }
  /** The client came online: what waits for it can go out. */
  | { kind: 'arrived' }
  | { kind: 'reply'; reply: NonNullable<CommandMessage['reply']>; outcome: CommandOutcome };

/** An answer gets its message id where the effect is written down, which is not the business of a pure function. */
export type ToDoWithoutId = Exclude<ToDo, { do: 'answer' }> | Omit<Extract<ToDo, { do: 'answer' }>, 'message_id'>;

export interface Transition {
  /** Undefined where the client is not known, or was forgotten. */
  connection: Connection | undefined;
  effects: Effect[];
}

type At = Pick<MailboxMessage, 'at' | 'id'>;

/** A client that moved to another status topic has come to rest there by then. */
const CLEAR_RETAINED_MS = 5000;

export function transition(connection: Connection | undefined, message: MailboxMessage, rules: Rules): Transition {
  switch (message.kind) {
    case 'packet':
      return applyPacket(connection, message, rules);
    case 'verified':
      return applyVerified(connection, message, rules);
    case 'command':
      return applyCommand(connection, message, rules);
  }
}

function applyPacket(connection: Connection | undefined, packet: Packet & At, rules: Rules): Transition {
  const onStatusTopic = rules.statusTopics.includes(packet.topic);
  if (packet.retain && onStatusTopic) {
    const applied =
      packet.refused === undefined
        ? applyRetained(connection, packet, rules)
        : applyUnreadable(connection, packet, packet.refused, rules);
    return inLane(connection, applied, packet, rules);
  }
  if (packet.refused !== undefined) return applyUnreadable(connection, packet, packet.refused, rules);
  // The removal of a retained message that carried no state, by a client that cleans up or by ourselves.
  if (packet.retain && packet.body === '') return { connection, effects: [] };

  const parsed = parseInbound(packet.body);
  if (!parsed.ok) return setAside(connection, packet, parsed.refusal, rules);
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
      return setAside(connection, packet, refusal, rules);
    }
    case 'offline':
      if (!onStatusTopic) {
        const details = `connection state belongs on ${rules.statusTopics.join(' or ')}`;
        const refusal: Refusal = { reason: 'wrong-topic', details, messageId: message.message_id, handshake: false };
        return setAside(connection, packet, refusal, rules);
      }
      return inLane(connection, goOffline(connection, packet, 'goodbye', rules), packet, rules);
    case 'message-error':
      return { connection: heard(connection, packet.at), effects: [failMessage(packet.clientId, message)] };
  }
}

/** Notes the lane of a message that bears state, and doubts the client where its order is not known (rule 2). */
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
    effects: reason === undefined ? effects : [...effects, { kind: 'doubt', reason }],
  };
}

function doubtOf(
  before: Connection | undefined,
  after: Connection,
  packet: Packet,
  rules: Rules,
): DoubtReason | undefined {
  // One lane brings everything in order, and what it brings again and had stored never reaches a mailbox (ADR 0011).
  if (packet.dup && rules.lanes > 1) return 'redelivery';
  if (before === undefined) return rules.lanes > 1 ? 'lanes' : undefined;
  if (before.lane !== packet.lane) return 'lanes';
  return before.status_topic === after.status_topic ? undefined : 'status-topic';
}

/**
 * What the broker retains, read back: it corrects towards that and nothing else (S9). The client's last lane counts
 * as unknown afterwards, unless the retained message is the very handshake that was last applied.
 */
function applyVerified(connection: Connection | undefined, result: Verified & At, rules: Rules): Transition {
  const { clientId, at } = result;
  const { topic, body, refused } = governing(connection, result.retained, at, rules);
  const packet: Packet & At = {
    kind: 'packet',
    clientId,
    lane: -1,
    topic,
    retain: true,
    dup: false,
    body,
    at,
    id: result.id,
    ...(refused && { refused }),
  };
  const quiet = { ...rules, respond: false };
  const known = connection?.state === 'online' && connection.status_topic === topic;
  const found = truth(body, connection?.refused_until ?? null, at, connection?.refused_handshake);
  const same = known && found.state === 'online' && found.handshake.message_id === connection.handshake_message_id;
  // What was set aside before is not set aside again: only what changes the registry, or is new to it.
  const settled = found.state === 'offline' && connection?.state === 'offline' && refused === undefined;
  const agreed = same || (refused === undefined && settled && connection.offline_reason === found.reason);
  const applied = agreed
    ? { connection, effects: [] }
    : refused === undefined
      ? applyRetained(connection, packet, quiet)
      : applyUnreadable(connection, packet, refused, quiet);
  const changed = connection?.state !== applied.connection?.state || (!agreed && found.state === 'online');
  const after = applied.connection && {
    ...applied.connection,
    lane: same ? (connection.lane ?? null) : null,
    last_message_at: connection?.last_message_at ?? at,
  };
  const answer: CommandOutcome =
    after === undefined
      ? { kind: 'unknown' }
      : { kind: 'verified', state: after.state, offlineReason: after.offline_reason, changed };
  return {
    connection: same ? connection : after,
    effects: [
      { kind: 'undo', todo: { do: 'verify', client_id: clientId } },
      ...applied.effects,
      { kind: 'verified', changed, answer },
    ],
  };
}

/**
 * The retained message that speaks for the client: a handshake the registry does not know yet, wherever it is; else
 * the one on the client's own status topic; else none.
 */
function governing(
  connection: Connection | undefined,
  retained: readonly Retained[],
  at: number,
  rules: Rules,
): Retained {
  const own = connection?.status_topic ?? retained[0]?.topic ?? rules.statusTopics[0] ?? rules.inTopic;
  const fresh = retained.find(({ topic, body, refused }) => {
    if (refused !== undefined || topic === own) return false;
    const found = truth(body, connection?.refused_until ?? null, at, connection?.refused_handshake);
    return found.state === 'online' && found.handshake.message_id !== connection?.handshake_message_id;
  });
  const onOwn = retained.find(({ topic }) => topic === own) ?? { topic: own, body: '' };
  if (fresh === undefined || connection === undefined) return onOwn;
  const found = truth(onOwn.body, connection.refused_until, at, connection.refused_handshake);
  const ownIsFresh = found.state === 'online' && found.handshake.message_id !== connection.handshake_message_id;
  return ownIsFresh ? onOwn : fresh;
}

/** A retained message on a status topic: from now on it is what the broker holds for the client. */
function applyRetained(connection: Connection | undefined, packet: Packet & At, rules: Rules): Transition {
  const found = truth(packet.body, connection?.refused_until ?? null, packet.at);
  if (found.state === 'online') return accept(connection, packet, found.handshake, rules);
  const offline = goOffline(connection, packet, found.reason, rules);
  if (found.refusal === undefined) return offline;
  const left =
    found.reason === 'refused' && offline.connection !== undefined
      ? { ...offline.connection, refused_handshake: found.refusal.messageId }
      : offline.connection;
  const aside = setAside(left, packet, found.refusal, rules);
  const failed = found.messageError === undefined ? [] : [failMessage(packet.clientId, found.messageError)];
  return { connection: aside.connection, effects: [...offline.effects, ...aside.effects, ...failed] };
}

function applyUnreadable(
  connection: Connection | undefined,
  packet: Packet & At,
  reason: NonNullable<Packet['refused']>,
  rules: Rules,
): Transition {
  const details = {
    'too-large': `the message is larger than ${rules.maxInboundBytes} bytes`,
    'not-utf8': 'the message is not UTF-8 text',
  }[reason];
  const refusal: Refusal = { reason, details, messageId: null, handshake: false };
  const offline =
    packet.retain && rules.statusTopics.includes(packet.topic)
      ? goOffline(connection, packet, 'unknown', rules)
      : { connection, effects: [] };
  const aside = setAside(offline.connection, packet, refusal, rules);
  return { connection: aside.connection, effects: [...offline.effects, ...aside.effects] };
}

function accept(before: Connection | undefined, packet: Packet & At, handshake: Handshake, rules: Rules): Transition {
  const { clientId, at, topic } = packet;
  const id = handshake.message_id;
  const sameTopic = before?.status_topic === topic;
  const wasOnline = before?.state === 'online';
  if (wasOnline && sameTopic && before.handshake_message_id === id) return { connection: before, effects: [] };
  const type = handshake.type === 'host-handshake' ? 'host' : 'proxy';
  const stated =
    handshake.type === 'host-handshake' ? handshake.payload.canonical_facts : handshake.payload.catalog_service_facts;
  const unchanged = before !== undefined && before.type === type && sameJson(before.facts, stated);
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
    lane: before?.lane ?? null,
  };
  const effects: Effect[] = [];
  const about = { client_id: clientId, connection_type: type, handshake_message_id: id } as const;
  if (!wasOnline) {
    effects.push({ kind: 'event', event: { type: 'connection.online', ...about } }, { kind: 'arrived' });
    effects.push({ kind: 'undo', todo: { do: 'forget', client_id: clientId } });
  } else if (!unchanged) effects.push({ kind: 'event', event: { type: 'connection.updated', ...about } });
  if (before !== undefined && !sameTopic) {
    // Not at once: a redelivery can move the client back and forth before it comes to rest.
    effects.push({ kind: 'to-do', todo: clearRetained(clientId, before.status_topic), inMs: CLEAR_RETAINED_MS });
    effects.push({ kind: 'undo', todo: clearRetained(clientId, topic) });
  }
  if (rules.respond) {
    const answer = { type: 'handshake-response', in_response_to: id } as const;
    effects.push({ kind: 'to-do', todo: { do: 'answer', client_id: clientId, answer } });
  }
  return { connection, effects };
}

function goOffline(
  connection: Connection | undefined,
  packet: Packet & At,
  reason: OfflineReason,
  rules: Rules,
): Transition {
  // A client that never registered has no state; one that moved to another status topic has left this one behind.
  if (connection === undefined || connection.status_topic !== packet.topic) return { connection, effects: [] };
  if (connection.state === 'offline') return { connection: heard(connection, packet.at), effects: [] };
  return {
    connection: {
      ...connection,
      last_message_at: packet.at,
      state: 'offline',
      disconnected_at: packet.at,
      offline_reason: reason,
    },
    effects: [
      { kind: 'event', event: { type: 'connection.offline', client_id: packet.clientId, reason } },
      { kind: 'to-do', todo: { do: 'forget', client_id: packet.clientId }, inMs: rules.connectionRetentionMs },
    ],
  };
}

/** What cannot be processed is kept for inspection, and answered where the protocol says so. */
function setAside(connection: Connection | undefined, packet: Packet, refusal: Refusal, rules: Rules): Transition {
  const { clientId, topic, body } = packet;
  const { reason, details, messageId } = refusal;
  const letter = { client_id: clientId, topic, reason, details, sample: body.slice(0, 1024) };
  const effects: Effect[] = [{ kind: 'dead-letter', letter, reason }];
  const statusOnly = rules.statusTopics.includes(topic) && topic !== rules.inTopic;
  const unreadable = messageId === null && reason !== 'empty';
  if (refusal.handshake || (statusOnly && unreadable)) {
    const answer = { type: 'handshake-error', in_response_to: messageId, payload: { details } } as const;
    effects.push({ kind: 'to-do', todo: { do: 'answer', client_id: clientId, answer } });
    effects.push({
      kind: 'event',
      event: { type: 'connection.refused', client_id: clientId, reason, message_id: messageId },
    });
  }
  return { connection, effects };
}

function applyCommand(connection: Connection | undefined, message: CommandMessage & At, rules: Rules): Transition {
  const { command, reply, clientId, at } = message;
  const effects: Effect[] = [];
  const answered = (after: Connection | undefined, outcome: CommandOutcome): Transition => {
    if (reply !== undefined) effects.push({ kind: 'reply', reply, outcome });
    return { connection: after, effects };
  };
  if (command.do === 'verify') {
    const effect = { kind: 'doubt', reason: command.reason, ...(reply && { reply }) } as const;
    return { connection, effects: [effect] };
  }
  if (connection === undefined) return answered(undefined, { kind: 'unknown' });
  switch (command.do) {
    case 'force-disconnect': {
      const refusedUntil = parseReconnectAfter(command.reconnect_after, at);
      if (refusedUntil === undefined) {
        return answered(connection, { kind: 'conflict', details: 'reconnect_after cannot be understood' });
      }
      const answer = { type: 'force-disconnect', payload: { reconnect_after: command.reconnect_after } } as const;
      if (connection.state === 'online') {
        effects.push({ kind: 'to-do', todo: { do: 'answer', client_id: clientId, answer } });
      }
      return answered({ ...connection, refused_until: refusedUntil }, { kind: 'done' });
    }
    case 'lift-refusal':
      // One that was refused when it was due to be forgotten gets its time anew.
      if (connection.state === 'offline') {
        effects.push({ kind: 'to-do', todo: { do: 'forget', client_id: clientId }, inMs: rules.connectionRetentionMs });
      }
      return answered({ ...connection, refused_until: null }, { kind: 'done' });
    case 'forget':
      if (connection.state === 'online') {
        return answered(connection, {
          kind: 'conflict',
          details: 'the client is online; only an offline one can be forgotten',
        });
      }
      if (refuses(connection.refused_until, at)) {
        // It comes up again, or the connection would be kept for ever.
        effects.push({ kind: 'to-do', todo: { do: 'forget', client_id: clientId }, inMs: rules.connectionRetentionMs });
        return answered(connection, { kind: 'conflict', details: 'the client is refused; lift the refusal first' });
      }
      effects.push({ kind: 'undo', todo: { do: 'forget', client_id: clientId } });
      return answered(undefined, { kind: 'done' });
  }
}

function heard(connection: Connection | undefined, at: number): Connection | undefined {
  return connection && { ...connection, last_message_at: at };
}

function failMessage(clientId: string, { in_response_to, payload }: MessageError): Effect {
  const details = brief(payload.details);
  return { kind: 'to-do', todo: { do: 'message-error', client_id: clientId, in_response_to, details } };
}

function clearRetained(clientId: string, statusTopic: string): Extract<ToDo, { do: 'clear-retained' }> {
  return { do: 'clear-retained', client_id: clientId, status_topic: statusTopic };
}
