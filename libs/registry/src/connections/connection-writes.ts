/** Turns the changes of a batch of transitions into the writes of one fenced commit. Pure. */
import { MAX_WRITE_ARGS, type CommitAct, type ShardWrite } from '../commits/fenced-commit.js';
import type { Connection } from './connection.js';
import { encodeConnection } from './connection-record.js';
import { CONNECTION_TYPES, OFFLINE_REASONS } from '../connection-state.js';
import { deadLetterAppend, eventAppend, type DeadLetter, type DatedEvent } from '../events/event.js';
import { accountsOf, factChanges } from './fact-index.js';
import { encodeRefused, type Refused } from './refusals.js';
import { reportAct } from '../messages/report-act.js';
import type { MessageReport } from '../messages/message-report.js';
import type { RegistryKeys } from '../keys.js';
import { encodeToDo, type DueToDo, type ToDo } from '../todos/to-do.js';

/** The counts of a sweep expire after this time, so a sweep has to read them before. */
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
  /** Refused handshakes that need an answer; `todos` has a to-do for each of them. */
  refused: readonly Refused[];
  /** To-dos that the batch has made obsolete. */
  withdrawn: readonly ToDo[];
  /** Clients that came online: those with an outbox become ready. Their guarded writes precede all others. */
  cameOnline: readonly { clientId: string }[];
  /** Clients whose account has become known. A to-do fails the messages that were accepted for another account. */
  accountsKnown?: readonly { clientId: string; at: number }[];
  /** What clients report about messages, in the order in which it came. */
  reports?: readonly MessageReport[];
  /** Redis is above its memory mark: large payloads of answers are not kept. */
  omitLargeAnswers?: boolean;
  /** Bytes of the shard's events that wait for an account; undefined if the batch has not changed them. */
  waitingBytes?: number | undefined;
  /** By sweep, the kinds of changes that its verification results made. */
  swept: readonly { sweep: string; changes: readonly string[] }[];
}

type Arg = string | number;

/** Collects arguments by command and key, so that a batch sends one command per key. */
class WriteBatch {
  private readonly lists = new Map<string, { command: string; key: string; args: Arg[] }>();

  argsOf(command: string, key: string): Arg[] {
    const id = `${command} ${key}`;
    let list = this.lists.get(id);
    if (list === undefined) this.lists.set(id, (list = { command, key, args: [] }));
    return list.args;
  }

  *writes(): Iterable<ShardWrite> {
    // The step is even, so that score-member and field-value pairs stay together.
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

/** Replaces members of sorted sets. Members of both lists are not touched: the writes run in no particular order. */
function replaceMembers(batch: WriteBatch, before: readonly Member[], after: readonly Member[]): void {
  if (before.length === 0) {
    for (const { key, member } of after) batch.argsOf('ZADD', key).push(0, member);
    return;
  }
  const namesOf = (members: readonly Member[]): Set<string> =>
    new Set(members.map(({ key, member }) => `${key} ${member}`));
  const [old, now] = [namesOf(before), namesOf(after)];
  for (const { key, member } of before) if (!now.has(`${key} ${member}`)) batch.argsOf('ZREM', key).push(member);
  for (const { key, member } of after) if (!old.has(`${key} ${member}`)) batch.argsOf('ZADD', key).push(0, member);
}

/** The sorted sets that have the connection, without those of facts and of held messages. */
export function indexesOf(keys: RegistryKeys, shard: number, connection: Connection | undefined): Member[] {
  if (connection === undefined) return [];
  const { state, type, client_id: member, offline_reason: reason } = connection;
  return accountsOf(connection).flatMap((account) => {
    const ofState =
      state === 'online' ? keys.online(shard, type, account) : keys.offline(shard, type, reason ?? 'unknown', account);
    const isRefused = connection.refused_until !== null;
    return [{ key: ofState, member }, ...(isRefused ? [{ key: keys.refused(shard, account), member }] : [])];
  });
}

/** Whether two versions of a connection with the same account are in the same sets. */
function haveSameIndexes(before: Connection | undefined, after: Connection | undefined): boolean {
  if (before?.state !== after?.state || before?.type !== after?.type) return false;
  return (
    before?.offline_reason === after?.offline_reason &&
    (before?.refused_until == null) === (after?.refused_until == null)
  );
}

/**
 * Clients that went offline are among those with held messages if they have an outbox; others are not, until the broker reports that
 * nobody is subscribed. @returns the clients for which an outbox decides, by the key of the set
 */
function replaceHeld(
  batch: WriteBatch,
  keys: RegistryKeys,
  shard: number,
  connections: BatchChanges['connections'],
): Map<string, string[]> {
  const mayHold = new Map<string, string[]>();
  for (const [clientId, { before, after }] of connections) {
    const accountChanged = (before?.account ?? null) !== (after?.account ?? null);
    if (before?.state === after?.state && !accountChanged) continue;
    const now = after?.state === 'offline' ? accountsOf(after) : [];
    for (const account of before === undefined ? [] : accountsOf(before)) {
      if (!now.includes(account)) batch.argsOf('ZREM', keys.held(shard, account)).push(clientId);
    }
    for (const account of now) {
      const key = keys.held(shard, account);
      const ids = mayHold.get(key);
      if (ids === undefined) mayHold.set(key, [clientId]);
      else ids.push(clientId);
    }
  }
  return mayHold;
}

/** Updates the index of facts of the former and the current account. */
function replaceFacts(batch: WriteBatch, keys: RegistryKeys, shard: number, { before, after }: ConnectionChange): void {
  const old = before === undefined ? [] : accountsOf(before);
  const now = after === undefined ? [] : accountsOf(after);
  for (const account of new Set([...old, ...now])) {
    const { removed, added } = factChanges(
      old.includes(account) ? before : undefined,
      now.includes(account) ? after : undefined,
      account,
    );
    for (const { bucket, member } of removed) batch.argsOf('ZREM', keys.facts(shard, bucket)).push(member);
    for (const { bucket, member } of added) batch.argsOf('ZADD', keys.facts(shard, bucket)).push(0, member);
  }
}

/** Restores the record of a connection after a commit that failed halfway. */
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
 * Removes a record that cannot be read and its members of the state indexes, in the sets of all connections and of the
 * account. Members of the index of facts remain, since only the record says which ones they are.
 */
export function unreadableWrites(
  keys: RegistryKeys,
  shard: number,
  clientId: string,
  account: string | null,
): ShardWrite[] {
  const indexes = [undefined, ...(account === null ? [] : [account])].flatMap((scope) =>
    [
      ...CONNECTION_TYPES.flatMap((type) => [
        keys.online(shard, type, scope),
        ...OFFLINE_REASONS.map((reason) => keys.offline(shard, type, reason, scope)),
      ]),
      keys.refused(shard, scope),
      keys.held(shard, scope),
    ].map((key): ShardWrite => ({ command: ['ZREM', key, clientId] })),
  );
  const hashes = [keys.connections(shard), keys.accounts(shard)];
  return [
    ...indexes,
    ...hashes.map((key): ShardWrite => ({ command: ['HDEL', key, clientId] })),
    { command: ['SREM', keys.accountsAsked(shard), clientId] },
  ];
}

export function connectionWrites(keys: RegistryKeys, shard: number, changes: BatchChanges): CommitAct[] {
  const batch = new WriteBatch();
  const stored = batch.argsOf('HSET', keys.connections(shard));
  for (const [clientId, { before, after }] of changes.connections) {
    if (after === undefined) batch.argsOf('HDEL', keys.connections(shard)).push(clientId);
    else stored.push(clientId, encodeConnection(after));
    const accountChanged = (before?.account ?? null) !== (after?.account ?? null);
    if (accountChanged) {
      if (after?.account == null) batch.argsOf('HDEL', keys.accounts(shard)).push(clientId);
      else batch.argsOf('HSET', keys.accounts(shard)).push(clientId, after.account);
    }
    const isAsked = after?.account_asked !== undefined;
    if (isAsked !== (before?.account_asked !== undefined)) {
      batch.argsOf(isAsked ? 'SADD' : 'SREM', keys.accountsAsked(shard)).push(clientId);
    }
    if (accountChanged || !haveSameIndexes(before, after)) {
      replaceMembers(batch, indexesOf(keys, shard, before), indexesOf(keys, shard, after));
    }
    if (accountChanged || before?.facts !== after?.facts) {
      replaceFacts(batch, keys, shard, { before, after });
    }
  }
  const mayHold = replaceHeld(batch, keys, shard, changes.connections);
  const [waiting] = keys.refusals(shard);
  for (const refused of changes.refused) batch.argsOf('HSET', waiting).push(...encodeRefused(refused));
  const accountsKnown = changes.accountsKnown ?? [];
  for (const { clientId } of accountsKnown) batch.argsOf('SREM', keys.accountsAsked(shard)).push(clientId);
  if (changes.waitingBytes !== undefined) batch.argsOf('SET', keys.waitingBytes(shard)).push(changes.waitingBytes);
  for (const todo of changes.withdrawn) batch.argsOf('ZREM', keys.todo(shard)).push(encodeToDo(todo));
  for (const { todo, due } of changes.todos) batch.argsOf('ZADD', keys.todo(shard)).push(due, encodeToDo(todo));

  const writes: CommitAct[] = [...batch.writes()];
  for (const { sweep, changes: kinds } of changes.swept) {
    const key = keys.sweepCounts(shard, sweep);
    for (const kind of new Set(kinds)) {
      writes.push({ command: ['HINCRBY', key, kind, kinds.filter((one) => one === kind).length] });
    }
    writes.push({ command: ['PEXPIRE', key, SWEEP_COUNTS_KEPT_MS] });
  }
  // Reports emit events as well: all events of a client come in the order of what happened. They are checked against the accounts that
  // the batch has written above.
  const reports = [...(changes.reports ?? [])];
  const writeReports = (eventsBefore: number): void => {
    for (
      let next = reports[0];
      next !== undefined && (next.eventsBefore ?? Infinity) <= eventsBefore;
      next = reports[0]
    ) {
      writes.push(reportAct(next, changes.omitLargeAnswers ?? false));
      reports.shift();
    }
  };
  for (const [i, event] of changes.events.entries()) {
    writeReports(i);
    writes.push(eventAppend(keys, shard, event));
  }
  writeReports(Infinity);
  for (const letter of changes.deadLetters) writes.push(deadLetterAppend(keys, shard, letter));
  const online = changes.cameOnline.map(({ clientId }) => clientId);
  for (let i = 0; i < online.length; i += MAX_WRITE_ARGS) {
    const members = online.slice(i, i + MAX_WRITE_ARGS);
    writes.push({ command: ['ZADD', keys.ready(shard), 0], members, ifExistsPrefix: keys.outbox(shard, '') });
  }
  for (const [key, members] of mayHold) {
    for (let i = 0; i < members.length; i += MAX_WRITE_ARGS) {
      const some = members.slice(i, i + MAX_WRITE_ARGS);
      writes.push({ command: ['ZADD', key, 0], members: some, ifExistsPrefix: keys.outbox(shard, '') });
    }
  }
  for (const { clientId, at } of accountsKnown) {
    const todo = encodeToDo({ do: 'fail-moved', client_id: clientId });
    writes.push({ command: ['ZADD', keys.todo(shard), at, todo], ifExists: keys.outbox(shard, clientId) });
  }
  return writes;
}
