/**
 * Flap damping: decides when a change of state is emitted to subscribers. The registry itself changes at once. Pure.
 *
 * - Coming online, a goodbye and new facts are emitted at once, unless the last event is younger than the settle time.
 *   So a client adds at most one event in that time, whatever it sends.
 * - Going offline without a goodbye may be half of a reconnect: the event waits for the settle time.
 * - While an event waits, further changes are coalesced with it, until the client has kept its state for the settle
 *   time, or has flapped for ten settle times. Then its state is emitted, with the number of changes that were not.
 * - Coalesced events are stored in the connection. The same commit writes a to-do that flushes them.
 */
import type { ChangeEvent, Connection, CoalescedEvents, RegistryEvent } from '@app/registry';
import type { Effect, Rules, Transition } from './effect.js';

/** Longest time for which the changes of a client that keeps flapping are coalesced, in settle times. */
const MOST_SETTLE_TIMES = 10;

export function coalesceEvents(
  before: Connection | undefined,
  applied: Transition,
  at: number,
  rules: Rules,
): Transition {
  const { connection, effects } = applied;
  if (connection === undefined) return flushForgotten(before, applied);
  const change = effects.find(isChange);
  if (rules.eventSettleMs === 0 || change === undefined) return applied;
  const flips = change.event.type !== 'connection.updated';
  const { coalesced } = connection;
  if (coalesced === null && isEmittedAtOnce(change.event, connection.last_event_at, at, rules))
    return { ...applied, connection: { ...connection, last_event_at: at } };
  const since = coalesced?.since ?? at;
  const updated: CoalescedEvents = {
    since,
    due: flips
      ? Math.min(at, since + (MOST_SETTLE_TIMES - 1) * rules.eventSettleMs) + rules.eventSettleMs
      : (coalesced?.due ?? (connection.last_event_at ?? at) + rules.eventSettleMs),
    changes: (coalesced?.changes ?? 0) + (flips ? 1 : 0),
    emitted_state: coalesced?.emitted_state ?? before?.state ?? 'offline',
  };
  return {
    connection: { ...connection, coalesced: updated },
    effects: [...effects.filter((effect) => effect !== change), flushLater(connection, updated.due - at)],
  };
}

/** Emits coalesced events if they are due. A later change may have postponed them. */
export function flush(connection: Connection, at: number): Transition {
  const { coalesced, client_id } = connection;
  const done: Effect = { kind: 'undo', todo: { do: 'flush', client_id } };
  if (coalesced === null) return { connection, effects: [done] };
  if (at < coalesced.due) return { connection, effects: [flushLater(connection, coalesced.due - at)] };
  return {
    connection: { ...connection, coalesced: null, last_event_at: at },
    effects: [{ kind: 'event', event: coalescedEvent(connection, coalesced) }, done],
  };
}

/** Emits the coalesced events of a client before it is forgotten. */
function flushForgotten(before: Connection | undefined, applied: Transition): Transition {
  if (before === undefined || before.coalesced === null) return applied;
  const event: Effect = { kind: 'event', event: coalescedEvent(before, before.coalesced) };
  return {
    ...applied,
    effects: [event, ...applied.effects, { kind: 'undo', todo: { do: 'flush', client_id: before.client_id } }],
  };
}

function isEmittedAtOnce(event: RegistryEvent, lastEventAt: number | null, at: number, rules: Rules): boolean {
  if (lastEventAt !== null && at - lastEventAt < rules.eventSettleMs) return false;
  return event.type !== 'connection.offline' || event.reason === 'goodbye';
}

function coalescedEvent(connection: Connection, { changes, emitted_state }: CoalescedEvents): ChangeEvent {
  const changedAt = connection.state === 'offline' ? connection.disconnected_at : connection.connected_at;
  const about = {
    client_id: connection.client_id,
    ...(changes > 1 && { flaps: changes - 1 }),
    ...(changedAt !== null && { changed_at: new Date(changedAt).toISOString() }),
  };
  if (connection.state === 'offline') {
    return { type: 'connection.offline', ...about, reason: connection.offline_reason ?? 'unknown' };
  }
  const type = emitted_state === 'online' ? 'connection.updated' : 'connection.online';
  return { type, ...about, connection_type: connection.type, handshake_message_id: connection.handshake_message_id };
}

function flushLater({ client_id }: Connection, inMs: number): Effect {
  return { kind: 'to-do', todo: { do: 'flush', client_id }, inMs };
}

function isChange(effect: Effect): effect is Extract<Effect, { kind: 'event' }> {
  if (effect.kind !== 'event') return false;
  const { type } = effect.event;
  return type === 'connection.online' || type === 'connection.updated' || type === 'connection.offline';
}
