/** Applies a command of a caller, or of a to-do of the shard, to a connection. Pure. */
import { parseReconnectAfter } from '@app/protocol';
import { THROTTLE_WINDOW_MS, type CommandMessage, type CommandOutcome, type Connection } from '@app/registry';
import { setAccount } from './account.js';
import type { At, Effect, Rules, Transition } from './effect.js';
import { flush } from './event-coalescing.js';
import { forceDisconnect } from './handshake-replies.js';
import { goOffline } from './retained-state.js';
import { refuses } from './truth.js';
import { emitWaiting } from './waiting-events.js';

export function applyCommand(
  connection: Connection | undefined,
  message: CommandMessage & At,
  rules: Rules,
): Transition {
  const { command, reply, clientId, at } = message;
  const effects: Effect[] = [];
  const answered = (after: Connection | undefined, outcome: CommandOutcome): Transition => {
    if (reply !== undefined) effects.push({ kind: 'reply', reply, outcome });
    return { connection: after, effects };
  };
  if (message.account !== undefined && connection?.account !== message.account) {
    return answered(connection, { kind: 'unknown' });
  }
  if (command.do === 'verify') {
    const { reason, sweep } = command;
    return { connection, effects: [{ kind: 'verify', reason, ...(reply && { reply }), ...(sweep && { sweep }) }] };
  }
  if (command.do === 'throttled') {
    const { topic, sample, details } = command;
    const letter = { client_id: clientId, topic, reason: 'flood' as const, details, sample };
    const confirm = { do: 'confirm', client_id: clientId, after: 'throttled' } as const;
    effects.push({ kind: 'dead-letter', letter, reason: 'flood' });
    effects.push({ kind: 'to-do', todo: confirm, inMs: THROTTLE_WINDOW_MS });
    return { connection, effects };
  }
  if (connection === undefined) {
    // There is nothing left to forget, to flush or to emit.
    if (command.do === 'forget' || command.do === 'flush' || command.do === 'emit-waiting') {
      effects.push({ kind: 'undo', todo: { do: command.do, client_id: clientId } });
    }
    if (command.do === 'set-account') effects.push({ kind: 'undo', todo: { do: 'account', client_id: clientId } });
    return answered(undefined, { kind: 'unknown' });
  }
  switch (command.do) {
    case 'force-disconnect': {
      const refusedUntil = parseReconnectAfter(command.reconnect_after, at);
      if (refusedUntil === undefined) {
        return answered(connection, { kind: 'conflict', details: 'reconnect_after cannot be understood' });
      }
      const after = { ...connection, refused_until: refusedUntil };
      if (connection.state === 'online') {
        const last = connection.force_disconnect;
        if (last !== undefined) effects.push({ kind: 'undo', todo: forceDisconnect(connection, last) });
        after.force_disconnect = { reconnect_after: command.reconnect_after, at };
        effects.push({ kind: 'to-do', todo: forceDisconnect(connection, after.force_disconnect) });
      }
      return answered(after, { kind: 'done' });
    }
    case 'lift-refusal':
      // The retention starts again: it may have ended during the refusal.
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
        // Without another to-do the connection would be kept for ever.
        effects.push({ kind: 'to-do', todo: { do: 'forget', client_id: clientId }, inMs: rules.connectionRetentionMs });
        return answered(connection, { kind: 'conflict', details: 'the client is refused; lift the refusal first' });
      }
      if (command.overdue === true) {
        // The client may have been online again since the to-do came up.
        const leftMs = (connection.disconnected_at ?? at) + rules.connectionRetentionMs - at;
        if (leftMs > 0) {
          effects.push({ kind: 'to-do', todo: { do: 'forget', client_id: clientId }, inMs: leftMs });
          return answered(connection, { kind: 'conflict', details: 'the client has been online since then' });
        }
      }
      effects.push({ kind: 'undo', todo: { do: 'forget', client_id: clientId } });
      if (rules.accountOf !== undefined) {
        effects.push({ kind: 'undo', todo: { do: 'account', client_id: clientId } });
      }
      return answered(undefined, { kind: 'done' });
    case 'reconfirm': {
      if (connection.state === 'offline' || connection.last_live_handshake_at >= command.since) {
        return answered(connection, { kind: 'done' });
      }
      const offline = goOffline(
        connection,
        { clientId, topic: connection.status_topic, at: connection.last_message_at },
        'unconfirmed',
        rules,
      );
      effects.push(...offline.effects);
      return answered(
        offline.connection && {
          ...offline.connection,
          disconnected_at: at,
          unconfirmed_handshake: connection.handshake_message_id,
        },
        { kind: 'done' },
      );
    }
    case 'set-account': {
      const set = setAccount(connection, command.account);
      effects.push(...set.effects);
      return answered(set.connection, { kind: 'done' });
    }
    case 'emit-waiting': {
      const emitted = emitWaiting(connection, at, rules);
      effects.push(...emitted.effects);
      return answered(emitted.connection, { kind: 'done' });
    }
    case 'flush': {
      const flushed = flush(connection, at);
      effects.push(...flushed.effects);
      return answered(flushed.connection, { kind: 'done' });
    }
  }
}
