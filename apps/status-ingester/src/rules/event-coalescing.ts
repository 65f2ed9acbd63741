/**
 * When subscribers are told of a change of state: the registry is never late, but a client that flaps is told of once it
 * has settled. Pure.
 *
 * - Coming online, a goodbye and new facts are told at once, unless the last change was told less than the settle time
 *   ago: so a client adds no more than one event in that time, whatever it sends.
 * - Any other end may be half of a reconnect, so it waits for the settle time.
 * - While something is held back, each further change joins it, until the client has kept its state for the settle
 *   time, or has flapped for ten of them. Then its state is told, with how many changes were not.
 * - What is held back stands in the connection, and a to-do of the shard, written by the same commit, has it told.
 */
import type { ChangeEvent, Connection, HeldEvents, RegistryEvent } from '@app/registry';
import type { Effect, Rules, Transition } from './effect.js';

/** A client that never settles is told of after so many settle times. */
const MOST_SETTLE_TIMES = 10;

export function settle(before: Connection | undefined, made: Transition, at: number, rules: Rules): Transition {
  const { connection, effects } = made;
  if (connection === undefined) return forgotten(before, made);
  const change = effects.find(isChange);
  if (rules.eventSettleMs === 0 || change === undefined) return made;
  const flips = change.event.type !== 'connection.updated';
  const { held } = connection;
  if (held === null && isToldAtOnce(change.event, connection.told_at, at, rules))
    return { ...made, connection: { ...connection, told_at: at } };
  const since = held?.since ?? at;
  const now: HeldEvents = {
    since,
    due: flips
      ? Math.min(at, since + (MOST_SETTLE_TIMES - 1) * rules.eventSettleMs) + rules.eventSettleMs
      : (held?.due ?? (connection.told_at ?? at) + rules.eventSettleMs),
    changes: (held?.changes ?? 0) + (flips ? 1 : 0),
    told: held?.told ?? before?.state ?? 'offline',
  };
  return {
    connection: { ...connection, held: now },
    effects: [...effects.filter((effect) => effect !== change), toTell(connection, now.due - at)],
  };
}

/** What has been held back for long enough; one whose time was put off meanwhile waits on. */
export function tell(connection: Connection, at: number): Transition {
  const { held, client_id } = connection;
  const done: Effect = { kind: 'undo', todo: { do: 'tell', client_id } };
  if (held === null) return { connection, effects: [done] };
  if (at < held.due) return { connection, effects: [toTell(connection, held.due - at)] };
  return {
    connection: { ...connection, held: null, told_at: at },
    effects: [{ kind: 'event', event: eventOf(connection, held) }, done],
  };
}

/** What was held back of a client that is forgotten is told with it. */
function forgotten(before: Connection | undefined, made: Transition): Transition {
  if (before === undefined || before.held === null) return made;
  const event: Effect = { kind: 'event', event: eventOf(before, before.held) };
  return {
    ...made,
    effects: [event, ...made.effects, { kind: 'undo', todo: { do: 'tell', client_id: before.client_id } }],
  };
}

function isToldAtOnce(event: RegistryEvent, toldAt: number | null, at: number, rules: Rules): boolean {
  if (toldAt !== null && at - toldAt < rules.eventSettleMs) return false;
  return event.type !== 'connection.offline' || event.reason === 'goodbye';
}

function eventOf(connection: Connection, { changes, told }: HeldEvents): ChangeEvent {
  const changedAt = connection.state === 'offline' ? connection.disconnected_at : connection.connected_at;
  const about = {
    client_id: connection.client_id,
    ...(changes > 1 && { flaps: changes - 1 }),
    ...(changedAt !== null && { changed_at: new Date(changedAt).toISOString() }),
  };
  if (connection.state === 'offline') {
    return { type: 'connection.offline', ...about, reason: connection.offline_reason ?? 'unknown' };
  }
  const type = told === 'online' ? 'connection.updated' : 'connection.online';
  return { type, ...about, connection_type: connection.type, handshake_message_id: connection.handshake_message_id };
}

function toTell({ client_id }: Connection, inMs: number): Effect {
  return { kind: 'to-do', todo: { do: 'tell', client_id }, inMs };
}

function isChange(effect: Effect): effect is Extract<Effect, { kind: 'event' }> {
  if (effect.kind !== 'event') return false;
  const { type } = effect.event;
  return type === 'connection.online' || type === 'connection.updated' || type === 'connection.offline';
}
