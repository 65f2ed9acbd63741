/** Turns what a batch of transitions changed into the writes of one fenced commit. Pure. */
import { MAX_WRITE_ARGS, type ShardWrite } from '@app/sharding';
import { encodeConnection, type Connection } from './connection.js';
import { CONNECTION_STATES, CONNECTION_TYPES } from '../connection-state.js';
import { deadLetterAppend, eventAppend, type DeadLetter, type DatedEvent } from '../events/event.js';
import { factChanges } from './fact-index.js';
import { encodeRefused, type Refused } from './refusals.js';
import type { RegistryKeys } from '../keys.js';
import { WAKE_TODO } from '../messages/wake-todo.js';
import { encodeToDo, type DueToDo, type ToDo } from '../todos/to-do.js';

/** How long a sweep may take to read its counts. */
const SWEEP_COUNTS_KEPT_MS = 3_600_000;

/** A connection before and after a batch; undefined if it did not exist or was forgotten. */
export interface ConnectionChange {
  before: Connection | undefined;
  after: Connection | undefined;
}

export interface BatchChanges {
  connections: ReadonlyMap<string, ConnectionChange>;
  events: readonly DatedEvent[];
  deadLetters: readonly (DeadLetter & { at: number })[];
  /** `due` in epoch milliseconds. */
  todos: readonly DueToDo[];
  /** Refused handshakes to be answered; each has its to-do. */
  refused: readonly Refused[];
  /** To-dos that the batch made obsolete. */
  undone: readonly ToDo[];
  /** Clients that came online: a dispatcher is woken, if something waits for them. The first guarded writes are theirs. */
  cameOnline: readonly { clientId: string; due: number }[];
  /** Clients whose account is known now: what their outbox holds for another one is failed. */
  accountsKnown?: readonly { clientId: string; at: number }[];
  /** Bytes of the events that wait on the shard, if the batch has changed them. */
  waitingBytes?: number | undefined;
  /** What results that sweeps wait for have changed, by its kind. */
  swept: readonly { sweep: string; changes: readonly string[] }[];
}

type Arg = string | number;

/** Arguments by command and key: what a batch does to one key goes out as one command. */
class WriteBatch {
  private readonly lists = new Map<string, { command: string; key: string; args: Arg[] }>();

  to(command: string, key: string): Arg[] {
    const id = `${command} ${key}`;
    let list = this.lists.get(id);
    if (list === undefined) this.lists.set(id, (list = { command, key, args: [] }));
    return list.args;
  }

  *writes(): Iterable<ShardWrite> {
    // An even step keeps score-member and field-value pairs together.
    const step = MAX_WRITE_ARGS - 2;
    for (const { command, key, args } of this.lists.values()) {
      for (let i = 0; i < args.length; i += step) yield { command: [command, key, ...args.slice(i, i + step)] };
    }
  }
}

/** A member of a sorted set. */
interface Member {
  key: string;
  member: string;
}

/** Takes members out of sorted sets and puts others in; what is in both is left alone, since the order is not kept. */
function replace(gathered: WriteBatch, before: readonly Member[], after: readonly Member[]): void {
  if (before.length === 0) {
    for (const { key, member } of after) gathered.to('ZADD', key).push(0, member);
    return;
  }
  const has = (members: readonly Member[]): Set<string> =>
    new Set(members.map(({ key, member }) => `${key} ${member}`));
  const [old, now] = [has(before), has(after)];
  for (const { key, member } of before) if (!now.has(`${key} ${member}`)) gathered.to('ZREM', key).push(member);
  for (const { key, member } of after) if (!old.has(`${key} ${member}`)) gathered.to('ZADD', key).push(0, member);
}

/** A connection with an account stands in that account's sets as well. */
function accountsOf({ account }: Connection): (string | undefined)[] {
  return account == null ? [undefined] : [undefined, account];
}

function indexesOf(keys: RegistryKeys, shard: number, connection: Connection | undefined): Member[] {
  if (connection === undefined) return [];
  const { state, type, client_id: member } = connection;
  return accountsOf(connection).map((account) => ({ key: keys.index(shard, state, type, account), member }));
}

/** Writes what differs between the facts of a connection, in the sets of the accounts it was and is in. */
function replaceFacts(
  gathered: WriteBatch,
  keys: RegistryKeys,
  shard: number,
  { before, after }: ConnectionChange,
): void {
  const old = before === undefined ? [] : accountsOf(before);
  const now = after === undefined ? [] : accountsOf(after);
  for (const account of new Set([...old, ...now])) {
    const key = keys.facts(shard, account);
    const { removed, added } = factChanges(
      old.includes(account) ? before : undefined,
      now.includes(account) ? after : undefined,
    );
    for (const member of removed) gathered.to('ZREM', key).push(member);
    for (const member of added) gathered.to('ZADD', key).push(0, member);
  }
}

/** Puts a connection back as it was before a commit that failed under way. */
export function restoringWrite(
  keys: RegistryKeys,
  shard: number,
  clientId: string,
  before: Connection | undefined,
): ShardWrite {
  const key = keys.connections(shard);
  if (before === undefined) return { command: ['HDEL', key, clientId] };
  return { command: ['HSET', key, clientId, encodeConnection(before)] };
}

/**
 * Removes the record of a client that cannot be read, and its entries in the sets of all connections and of its account.
 * Its entries in the index of facts remain: only the record says which facts they are.
 */
export function unreadableWrites(
  keys: RegistryKeys,
  shard: number,
  clientId: string,
  account: string | null,
): ShardWrite[] {
  const indexes = [undefined, ...(account === null ? [] : [account])].flatMap((within) =>
    CONNECTION_STATES.flatMap((state) =>
      CONNECTION_TYPES.map((type): ShardWrite => ({
        command: ['ZREM', keys.index(shard, state, type, within), clientId],
      })),
    ),
  );
  const hashes = [keys.connections(shard), keys.accounts(shard)];
  return [
    ...indexes,
    ...hashes.map((key): ShardWrite => ({ command: ['HDEL', key, clientId] })),
    { command: ['SREM', keys.accountsAsked(shard), clientId] },
  ];
}

export function connectionWrites(keys: RegistryKeys, shard: number, changes: BatchChanges): ShardWrite[] {
  const gathered = new WriteBatch();
  const saved = gathered.to('HSET', keys.connections(shard));
  for (const [clientId, { before, after }] of changes.connections) {
    if (after === undefined) gathered.to('HDEL', keys.connections(shard)).push(clientId);
    else saved.push(clientId, encodeConnection(after));
    const moved = (before?.account ?? null) !== (after?.account ?? null);
    if (moved) {
      if (after?.account == null) gathered.to('HDEL', keys.accounts(shard)).push(clientId);
      else gathered.to('HSET', keys.accounts(shard)).push(clientId, after.account);
    }
    const isAsked = after?.account_asked !== undefined;
    if (isAsked !== (before?.account_asked !== undefined)) {
      gathered.to(isAsked ? 'SADD' : 'SREM', keys.accountsAsked(shard)).push(clientId);
    }
    if (moved || before?.state !== after?.state || before?.type !== after?.type) {
      replace(gathered, indexesOf(keys, shard, before), indexesOf(keys, shard, after));
    }
    if (moved || before?.facts !== after?.facts) {
      replaceFacts(gathered, keys, shard, { before, after });
    }
  }
  const [waiting] = keys.refusals(shard);
  for (const refused of changes.refused) gathered.to('HSET', waiting).push(...encodeRefused(refused));
  const accountsKnown = changes.accountsKnown ?? [];
  for (const { clientId } of accountsKnown) gathered.to('SREM', keys.accountsAsked(shard)).push(clientId);
  if (changes.waitingBytes !== undefined) gathered.to('SET', keys.waitingBytes(shard)).push(changes.waitingBytes);
  for (const todo of changes.undone) gathered.to('ZREM', keys.todo(shard)).push(encodeToDo(todo));
  for (const { todo, due } of changes.todos) gathered.to('ZADD', keys.todo(shard)).push(due, encodeToDo(todo));

  const writes: ShardWrite[] = [...gathered.writes()];
  for (const { sweep, changes: kinds } of changes.swept) {
    const key = keys.sweepCounts(shard, sweep);
    for (const kind of new Set(kinds)) {
      writes.push({ command: ['HINCRBY', key, kind, kinds.filter((one) => one === kind).length] });
    }
    writes.push({ command: ['PEXPIRE', key, SWEEP_COUNTS_KEPT_MS] });
  }
  for (const event of changes.events) writes.push(eventAppend(keys, shard, event));
  for (const letter of changes.deadLetters) writes.push(deadLetterAppend(keys, shard, letter));
  for (const { clientId } of changes.cameOnline) {
    writes.push({ command: ['ZADD', keys.woken(shard), 0, clientId], ifExists: keys.outbox(shard, clientId) });
  }
  if (changes.cameOnline.length > 0) {
    const due = Math.min(...changes.cameOnline.map((one) => one.due));
    writes.push({ command: ['ZADD', keys.todo(shard), 'LT', due, WAKE_TODO], ifExists: keys.woken(shard) });
  }
  for (const { clientId, at } of accountsKnown) {
    const todo = encodeToDo({ do: 'fail-moved', client_id: clientId });
    writes.push({ command: ['ZADD', keys.todo(shard), at, todo], ifExists: keys.outbox(shard, clientId) });
  }
  return writes;
}
