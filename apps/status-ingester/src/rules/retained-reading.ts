/**
 * Applies a reading of what the broker retains for a client: the connection is corrected towards that only (S9). A reading may
 * be older than it seems (docs/reconciliation.md): it takes nobody offline and replaces no handshake unless a second read
 * confirms it, and a client that one reading brings online is verified again. Pure.
 */
import type { CommandOutcome, Connection, Retained, RetainedReading } from '@app/registry';
import type { At, Correction, Effect, Rules, Transition } from './effect.js';
import { applyRetained, applyUnreadable, digestOf, reasonAfter } from './retained-state.js';
import { truth, type Truth } from './truth.js';

/**
 * Afterwards the client's last lane is unknown, unless the retained message is the handshake that was applied last.
 */
export function applyRetainedReading(
  connection: Connection | undefined,
  result: RetainedReading & At,
  rules: Rules,
): Transition {
  const { clientId, at } = result;
  const governing = governingMessage(connection, result.retained, at, rules);
  const { topic, body, refused } = governing;
  if (body === '' && refused === undefined && result.provesAbsence === false) return unproven(connection, clientId);
  let after = connection;
  let effects: Effect[] = [];
  if (!agrees(connection, governing, at, rules.lanes)) {
    const message = { clientId, topic, body, at };
    ({ connection: after, effects } =
      refused === undefined
        ? applyRetained(connection, message, 'read-back', rules)
        : applyUnreadable(connection, message, refused, rules));
  }
  if (changesOnline(connection, after) && result.isConfirmed !== true) {
    return { connection, effects: [{ kind: 'unconfirmed' }] };
  }
  const same = connection?.state === 'online' && after === connection;
  const change = correctionOf(connection, after);
  // A sweep reads everything again by itself.
  const isReadAgain = change === 'online' && result.noted === undefined;
  const answer: CommandOutcome =
    after === undefined
      ? { kind: 'unknown' }
      : { kind: 'verified', state: after.state, offlineReason: after.offline_reason, changed: change !== 'none' };
  return {
    connection:
      after === undefined || same
        ? after
        : { ...after, lane: null, last_message_at: connection?.last_message_at ?? at },
    effects: [
      isReadAgain
        ? { kind: 'verify', reason: 'online' }
        : { kind: 'undo', todo: { do: 'verify', client_id: clientId } },
      ...effects,
      { kind: 'verified', change, answer },
    ],
  };
}

/** Nothing was read, which proves nothing with this broker: the client stays as it is. */
function unproven(connection: Connection | undefined, clientId: string): Transition {
  const answer: CommandOutcome =
    connection === undefined
      ? { kind: 'unknown' }
      : {
          kind: 'verified',
          state: connection.state,
          offlineReason: connection.offline_reason,
          changed: false,
          isUnproven: true,
        };
  return {
    connection,
    effects: [
      { kind: 'undo', todo: { do: 'verify', client_id: clientId } },
      { kind: 'verified', change: 'none', isUnproven: true, answer },
    ],
  };
}

/** Whether the change takes an online client offline, or replaces its handshake. */
function changesOnline(before: Connection | undefined, after: Connection | undefined): boolean {
  if (before?.state !== 'online') return false;
  return after?.state !== 'online' || after.handshake_message_id !== before.handshake_message_id;
}

function correctionOf(before: Connection | undefined, after: Connection | undefined): Correction {
  if (after === undefined || before === after) return 'none';
  if (before?.state !== after.state) return after.state;
  if (after.state === 'online') return 'updated';
  return before.offline_reason === after.offline_reason ? 'none' : 'reason';
}

/** Whether the registry has the state that this retained message says, and has dead-lettered it if it had to be. */
export function agrees(connection: Connection | undefined, retained: Retained, at: number, lanes: number): boolean {
  const found = truthOf(connection, retained, at);
  if (connection === undefined) {
    return found.state === 'offline' && found.refusal === undefined && retained.refused === undefined;
  }
  const { state, status_topic, handshake_message_id, offline_reason, dead_letter_digest } = connection;
  if (found.state === 'online') {
    return state === 'online' && status_topic === retained.topic && handshake_message_id === found.handshake.message_id;
  }
  if (state === 'online') return false;
  const isRejected = found.refusal !== undefined || retained.refused !== undefined;
  if (isRejected && dead_letter_digest !== digestOf(retained.body)) return false;
  return reasonAfter(offline_reason, found.reason, lanes) === offline_reason;
}

/**
 * Whether the message is a handshake that the registry does not know, on a status topic other than that of the connection.
 * If so, the client may have moved there.
 */
export function isNewElsewhere(connection: Connection, { body, refused }: Retained, at: number): boolean {
  if (refused !== undefined) return false;
  const found = truth(body, connection, at);
  if (found.state === 'offline') return false;
  const id = found.handshake.message_id;
  return id !== connection.handshake_message_id && !connection.superseded_handshakes.includes(id);
}

function truthOf(connection: Connection | undefined, { body, refused }: Retained, at: number): Truth {
  if (refused !== undefined) return { state: 'offline', reason: 'unknown' };
  return truth(body, connection, at);
}

/**
 * The retained message that decides the client's state: a handshake that the registry does not know yet, on whatever topic;
 * otherwise the message on the client's own status topic; otherwise none.
 */
function governingMessage(
  connection: Connection | undefined,
  retained: readonly Retained[],
  at: number,
  rules: Rules,
): Retained {
  const own = connection?.status_topic ?? retained[0]?.topic ?? rules.statusTopics[0] ?? rules.inTopic;
  const onOwn = retained.find(({ topic }) => topic === own) ?? { topic: own, body: '' };
  if (connection === undefined) return onOwn;
  const found = truthOf(connection, onOwn, at);
  if (found.state === 'online' && found.handshake.message_id !== connection.handshake_message_id) return onOwn;
  return retained.find((one) => one.topic !== own && isNewElsewhere(connection, one, at)) ?? onOwn;
}
