/**
 * What waits while the account of a client is being asked for: events of its connection, and what the client says. It waits in the
 * connection, in order, so that it gets the account that the answer names. Pure.
 *
 * - After two seconds, or if there is too much, events about the connection are emitted without an account. The answer then emits the
 *   state with the account, so that callers that are bound to the account see the connection.
 * - What the client says must not reach another account: after a minute, or if there is too much, it becomes a dead letter.
 */
import type { AccountLookup, ChangeEvent, Connection, WaitingEntry } from '@app/registry';
import type { Effect, EventEffect, Rules, Transition } from './effect.js';
import { overdueTalk } from './overdue-talk.js';

const STATE_WAITS_MS = 2000;
const TALK_WAITS_MS = 60_000;
/** Most entries of one client. */
const MOST_ENTRIES = 32;
/** Most bytes of entries, of one client and of a shard: no client has more than an eighth of what the shard has. */
const MOST_BYTES = { client: 1_048_576, shard: 16_777_216 } as const;

export const NOTHING_WAITS: AccountLookup = { waiting: [], bytes: 0, is_late: false };

/**
 * Makes what a transition emits and reports wait, or releases what has waited.
 * @param shardBytes of all that waits in the shard
 */
export function delayUntilAccountIsKnown(
  before: Connection | undefined,
  applied: Transition,
  at: number,
  shardBytes: number,
  rules: Rules,
): Transition {
  const { connection } = applied;
  const asked = before?.account_asked;
  if (connection?.account_asked !== undefined)
    return postpone(connection, connection.account_asked, applied, at, shardBytes, rules);
  if (before === undefined || asked === undefined) return applied;
  const account = connection?.account ?? null;
  const effects = asked.waiting.map((entry) => released(entry, account));
  if (asked.waiting.length > 0) effects.push({ kind: 'undo', todo: todoOf(before) });
  if (connection !== undefined && !applied.effects.some(isStateEvent) && mustEmitState(asked, before, connection)) {
    effects.push({ kind: 'event', event: stateEvent(connection), at, account });
  }
  return { connection, effects: [...effects, ...applied.effects] };
}

/** Ends the wait of what has waited long enough. */
export function emitWaiting(connection: Connection, at: number, rules: Rules): Transition {
  const { account_asked: asked } = connection;
  if (asked === undefined) return { connection, effects: [{ kind: 'undo', todo: todoOf(connection) }] };
  const isDue = asked.waiting.some((entry) => !isTalk(entry) && entry.at + STATE_WAITS_MS <= at);
  const { left, effects } = isDue ? withoutAccount(asked) : { left: asked, effects: [] };
  const overdue = left.waiting.filter((entry) => isTalk(entry) && entry.at + TALK_WAITS_MS <= at);
  for (const entry of overdue) {
    effects.push(
      ...overdueTalk(
        connection.client_id,
        entry,
        'the account of this client did not become known within a minute',
        rules,
      ),
    );
  }
  const after = overdue.length === 0 ? left : without(left, overdue);
  effects.push(nextTime(connection, after, at));
  return { connection: after === asked ? connection : { ...connection, account_asked: after }, effects };
}

/** Whether one of the waiting events says in which state the connection is. */
export function statesConnection({ waiting }: AccountLookup): boolean {
  return waiting.some((entry) => 'event' in entry && isStateEvent({ kind: 'event', ...entry }));
}

function postpone(
  connection: Connection,
  asked: AccountLookup,
  { effects }: Transition,
  at: number,
  shardBytes: number,
  rules: Rules,
): Transition {
  const rest: Effect[] = [];
  let after = asked;
  for (const effect of effects) {
    const entry = entryOf(effect, at);
    if (entry === undefined) {
      rest.push(effect);
      continue;
    }
    const bytes = bytesOf(entry);
    const hasRoom = ({ waiting, bytes: taken }: AccountLookup): boolean =>
      waiting.length < MOST_ENTRIES &&
      taken + bytes <= MOST_BYTES.client &&
      shardBytes - asked.bytes + taken + bytes <= MOST_BYTES.shard;
    const add = (to: AccountLookup): AccountLookup => ({
      ...to,
      waiting: [...to.waiting, entry],
      bytes: to.bytes + bytes,
    });
    if (hasRoom(after)) {
      after = add(after);
      continue;
    }
    // Events about the connection make room: they may go without an account.
    const emitted = withoutAccount(isTalk(entry) ? after : add(after));
    after = emitted.left;
    rest.push(...emitted.effects);
    if (!isTalk(entry)) continue;
    if (hasRoom(after)) after = add(after);
    else {
      const details = 'too much waits for the account of this client, or of its shard';
      rest.push(...overdueTalk(connection.client_id, entry, details, rules));
    }
  }
  if (after === asked) return { connection, effects: rest };
  if (dueOf(after) !== dueOf(asked)) rest.push(nextTime(connection, after, at));
  return { connection: { ...connection, account_asked: after }, effects: rest };
}

/** Emits the events about the connection without an account. What the client says waits on. */
function withoutAccount(asked: AccountLookup): { left: AccountLookup; effects: Effect[] } {
  const events = asked.waiting.filter((entry) => !isTalk(entry));
  if (events.length === 0) return { left: asked, effects: [] };
  return {
    left: { ...without(asked, events), is_late: true },
    effects: events.map((entry) => released(entry, null)),
  };
}

function without({ waiting, is_late }: AccountLookup, gone: readonly WaitingEntry[]): AccountLookup {
  const left = waiting.filter((entry) => !gone.includes(entry));
  return { waiting: left, bytes: left.reduce((sum, entry) => sum + bytesOf(entry), 0), is_late };
}

function bytesOf(entry: WaitingEntry): number {
  return Buffer.byteLength(JSON.stringify(entry));
}

/** What an effect becomes that has to wait; undefined if it does not wait. */
function entryOf(effect: Effect, at: number): WaitingEntry | undefined {
  if (effect.kind === 'answer') return { at, answer: effect.answer };
  if (effect.kind === 'progress') return { at, progress: effect.progress };
  return isWaitingEvent(effect) ? { at, event: effect.event } : undefined;
}

function released(entry: WaitingEntry, account: string | null): Effect {
  const { at } = entry;
  if ('answer' in entry) return { kind: 'answer', answer: entry.answer, at };
  if ('progress' in entry) return { kind: 'progress', progress: entry.progress, at };
  return { kind: 'event', event: entry.event, at, account };
}

/** When the first entry has waited long enough; undefined if none waits. */
function dueOf({ waiting }: AccountLookup): number | undefined {
  const dues = waiting.map((entry) => entry.at + (isTalk(entry) ? TALK_WAITS_MS : STATE_WAITS_MS));
  return dues.length === 0 ? undefined : Math.min(...dues);
}

function nextTime(connection: Connection, asked: AccountLookup, at: number): Effect {
  const due = dueOf(asked);
  if (due === undefined) return { kind: 'undo', todo: todoOf(connection) };
  return { kind: 'to-do', todo: todoOf(connection), inMs: Math.max(0, due - at) };
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
  if (!isWaitingEvent(effect)) return false;
  return effect.event.type !== 'connection.refused' && effect.event.type !== 'client.message';
}

/** What the client says, as opposed to what happens to its connection. */
function isTalk(entry: WaitingEntry): boolean {
  return !('event' in entry) || entry.event.type === 'client.message';
}

/** An event that already names an account does not wait. */
function isWaitingEvent(effect: Effect): effect is EventEffect {
  return effect.kind === 'event' && effect.account === undefined && /^(connection|client)\./.test(effect.event.type);
}

function todoOf({ client_id }: Connection): { do: 'emit-waiting'; client_id: string } {
  return { do: 'emit-waiting', client_id };
}
