/**
 * Events of a connection whose account is being asked for. They wait in the connection, in order, so that they can be emitted
 * with the account. Pure.
 *
 * - The answer emits them with the account that it names.
 * - After two seconds, or if there are too many, they are emitted without an account. A later answer then emits the state with
 *   the account, so that callers that are bound to the account see the connection.
 */
import type { AccountLookup, ChangeEvent, Connection, RegistryEvent } from '@app/registry';
import type { Effect, EventEffect, Transition } from './effect.js';

const WAIT_MS = 2000;
/** Most waiting events of one client. */
const MOST_EVENTS = 32;
/** Most bytes of waiting events, of one client and of a shard. */
const MOST_BYTES = { client: 1_048_576, shard: 16_777_216 } as const;

export const NOTHING_WAITS: AccountLookup = { waiting: [], bytes: 0, is_late: false };

/**
 * Makes the events of a transition wait, or emits those that have waited.
 * @param shardBytes of all waiting events of the shard
 */
export function delayUntilAccountIsKnown(
  before: Connection | undefined,
  applied: Transition,
  at: number,
  shardBytes: number,
): Transition {
  const { connection } = applied;
  const asked = before?.account_asked;
  if (connection?.account_asked !== undefined)
    return postpone(connection, connection.account_asked, applied, at, shardBytes);
  if (before === undefined || asked === undefined) return applied;
  const account = connection?.account ?? null;
  const effects = eventsOf(asked, account);
  if (asked.waiting.length > 0) effects.push({ kind: 'undo', todo: todoOf(before) });
  if (connection !== undefined && !applied.effects.some(isStateEvent) && mustEmitState(asked, before, connection)) {
    effects.push({ kind: 'event', event: stateEvent(connection), at, account });
  }
  return { connection, effects: [...effects, ...applied.effects] };
}

/** Emits the waiting events if they have waited long enough. */
export function emitWaiting(connection: Connection, at: number): Transition {
  const { account_asked: asked } = connection;
  const [first] = asked?.waiting ?? [];
  if (asked === undefined || first === undefined) {
    return { connection, effects: [{ kind: 'undo', todo: todoOf(connection) }] };
  }
  const leftMs = first.at + WAIT_MS - at;
  if (leftMs > 0) return { connection, effects: [{ kind: 'to-do', todo: todoOf(connection), inMs: leftMs }] };
  return withoutAccount(connection, asked);
}

/** Whether one of the waiting events says in which state the connection is. */
export function statesConnection({ waiting }: AccountLookup): boolean {
  return waiting.some((event) => isStateEvent({ kind: 'event', ...event }));
}

function postpone(
  connection: Connection,
  asked: AccountLookup,
  { effects }: Transition,
  at: number,
  shardBytes: number,
): Transition {
  const events = effects.filter(mayWait).map(({ event }) => ({ at, event }));
  if (events.length === 0) return { connection, effects };
  const rest = effects.filter((effect) => !mayWait(effect));
  const more = Buffer.byteLength(JSON.stringify(events));
  const updated = { ...asked, waiting: [...asked.waiting, ...events], bytes: asked.bytes + more };
  if (
    updated.waiting.length > MOST_EVENTS ||
    updated.bytes > MOST_BYTES.client ||
    shardBytes + more > MOST_BYTES.shard
  ) {
    const flushed = withoutAccount(connection, updated);
    return { connection: flushed.connection, effects: [...flushed.effects, ...rest] };
  }
  if (asked.waiting.length === 0) rest.push({ kind: 'to-do', todo: todoOf(connection), inMs: WAIT_MS });
  return { connection: { ...connection, account_asked: updated }, effects: rest };
}

/** Emits the waiting events without an account. */
function withoutAccount(connection: Connection, asked: AccountLookup): Transition {
  return {
    connection: { ...connection, account_asked: { ...NOTHING_WAITS, is_late: true } },
    effects: [...eventsOf(asked, null), { kind: 'undo', todo: todoOf(connection) }],
  };
}

function eventsOf({ waiting }: AccountLookup, account: string | null): Effect[] {
  return waiting.map(({ at, event }) => ({ kind: 'event', event, at, account }));
}

/** Whether the state has to be emitted with the account, because it was emitted without one. */
function mustEmitState(asked: AccountLookup, before: Connection, { account, coalesced }: Connection): boolean {
  if (!asked.is_late || statesConnection(asked) || coalesced !== null) return false;
  return account !== null || before.account !== null;
}

function stateEvent({ client_id, state, type, handshake_message_id, offline_reason }: Connection): ChangeEvent {
  if (state === 'offline') return { type: 'connection.offline', client_id, reason: offline_reason ?? 'unknown' };
  return { type: 'connection.updated', client_id, connection_type: type, handshake_message_id };
}

function isStateEvent(effect: Effect): boolean {
  return mayWait(effect) && effect.event.type !== 'connection.refused' && effect.event.type !== 'client.message';
}

/** An event that already names an account does not wait. */
function mayWait(effect: Effect): effect is EventEffect & { event: ClientEvent } {
  return effect.kind === 'event' && effect.account === undefined && /^(connection|client)\./.test(effect.event.type);
}

type ClientEvent = Extract<RegistryEvent, { type: `connection.${string}` | 'client.message' }>;

function todoOf({ client_id }: Connection): { do: 'emit-waiting'; client_id: string } {
  return { do: 'emit-waiting', client_id };
}
