/**
 * Events of a connection whose account is being asked for: they wait in the connection, in order, so that they can be
 * emitted with the account. Pure.
 *
 * - The answer emits them with the account it names.
 * - After two seconds, or if there are too many, they are emitted without an account. The answer that comes later then
 *   emits the state with the account, so that those who are bound to it learn of the connection.
 */
import type { AccountQuestion, ChangeEvent, Connection, RegistryEvent } from '@app/registry';
import type { Effect, EventEffect, Transition } from './effect.js';

const WAIT_MS = 2000;
/** Most events of one client that wait. */
const MOST_EVENTS = 32;
/** Most bytes of events that wait: of one client, and of a shard. */
const MOST_BYTES = { client: 1_048_576, shard: 16_777_216 } as const;

export const NOTHING_WAITS: AccountQuestion = { waiting: [], bytes: 0, is_late: false };

/**
 * Holds the events of a transition, or emits those that waited.
 * @param ofShard bytes that wait on the shard
 */
export function whileAccountIsAsked(
  before: Connection | undefined,
  made: Transition,
  at: number,
  ofShard: number,
): Transition {
  const { connection } = made;
  const asked = before?.account_asked;
  if (connection?.account_asked !== undefined) return hold(connection, connection.account_asked, made, at, ofShard);
  if (before === undefined || asked === undefined) return made;
  const account = connection?.account ?? null;
  const effects = emitted(asked, account);
  if (asked.waiting.length > 0) effects.push({ kind: 'undo', todo: todoOf(before) });
  if (connection !== undefined && !made.effects.some(isOfState) && isNews(asked, before, connection)) {
    effects.push({ kind: 'event', event: stateOf(connection), at, account });
  }
  return { connection, effects: [...effects, ...made.effects] };
}

/** Emits what has waited for long enough. */
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

/** Whether one of these says what state the connection is in. */
export function statesConnection({ waiting }: AccountQuestion): boolean {
  return waiting.some((event) => isOfState({ kind: 'event', ...event }));
}

function hold(
  connection: Connection,
  asked: AccountQuestion,
  { effects }: Transition,
  at: number,
  ofShard: number,
): Transition {
  const events = effects.filter(mayWait).map(({ event }) => ({ at, event }));
  if (events.length === 0) return { connection, effects };
  const rest = effects.filter((effect) => !mayWait(effect));
  const more = Buffer.byteLength(JSON.stringify(events));
  const now = { ...asked, waiting: [...asked.waiting, ...events], bytes: asked.bytes + more };
  if (now.waiting.length > MOST_EVENTS || now.bytes > MOST_BYTES.client || ofShard + more > MOST_BYTES.shard) {
    const flushed = withoutAccount(connection, now);
    return { connection: flushed.connection, effects: [...flushed.effects, ...rest] };
  }
  if (asked.waiting.length === 0) rest.push({ kind: 'to-do', todo: todoOf(connection), inMs: WAIT_MS });
  return { connection: { ...connection, account_asked: now }, effects: rest };
}

function withoutAccount(connection: Connection, asked: AccountQuestion): Transition {
  return {
    connection: { ...connection, account_asked: { ...NOTHING_WAITS, is_late: true } },
    effects: [...emitted(asked, null), { kind: 'undo', todo: todoOf(connection) }],
  };
}

function emitted({ waiting }: AccountQuestion, account: string | null): Effect[] {
  return waiting.map(({ at, event }) => ({ kind: 'event', event, at, account }));
}

/** Whether the state has to be emitted with the account, since it was emitted without. */
function isNews(asked: AccountQuestion, before: Connection, { account, coalesced }: Connection): boolean {
  if (!asked.is_late || statesConnection(asked) || coalesced !== null) return false;
  return account !== null || before.account !== null;
}

function stateOf({ client_id, state, type, handshake_message_id, offline_reason }: Connection): ChangeEvent {
  if (state === 'offline') return { type: 'connection.offline', client_id, reason: offline_reason ?? 'unknown' };
  return { type: 'connection.updated', client_id, connection_type: type, handshake_message_id };
}

function isOfState(effect: Effect): boolean {
  return mayWait(effect) && effect.event.type !== 'connection.refused';
}

/** One that already names an account does not wait. */
function mayWait(effect: Effect): effect is EventEffect & { event: ConnectionEvent } {
  return effect.kind === 'event' && effect.account === undefined && effect.event.type.startsWith('connection.');
}

type ConnectionEvent = Extract<RegistryEvent, { type: `connection.${string}` }>;

function todoOf({ client_id }: Connection): { do: 'emit-waiting'; client_id: string } {
  return { do: 'emit-waiting', client_id };
}
