/** Turns what a batch of transitions changed into the writes of one fenced commit. Pure. */
import { MAX_WRITE_ARGS, type ShardWrite } from '@app/sharding';
import { encodeConnection, type Connection } from './connection.js';
import { DEAD_LETTERS_KEPT, EVENTS_KEPT, type DeadLetter, type RegistryEvent } from './event.js';
import { factMembers } from './fact-index.js';
import type { RegistryKeys } from './registry-keys.js';
import { encodeToDo, type DueToDo, type ToDo } from './to-do.js';

/** How long a sweep may take to read its counts. */
const SWEEP_COUNTS_KEPT_MS = 3_600_000;

/** A connection before and after a batch; undefined where it did not exist or was forgotten. */
export interface ConnectionChange {
  before: Connection | undefined;
  after: Connection | undefined;
}

export interface BatchChanges {
  connections: ReadonlyMap<string, ConnectionChange>;
  events: readonly (RegistryEvent & { at: number })[];
  deadLetters: readonly (DeadLetter & { at: number })[];
  /** `due` in epoch milliseconds. */
  todos: readonly DueToDo[];
  /** To-dos that the batch made obsolete. */
  undone: readonly ToDo[];
  /** Clients that came online: wake a dispatcher, if something waits for them. */
  arrived: readonly { clientId: string; due: number }[];
  /** What results that sweeps wait for have changed, by its kind. */
  swept: readonly { sweep: string; changes: readonly string[] }[];
}

type Arg = string | number;

/** Arguments by command and key: what a batch does to one key goes out as one command. */
class Gathered {
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

export function connectionWrites(keys: RegistryKeys, shard: number, changes: BatchChanges): ShardWrite[] {
  const gathered = new Gathered();
  const saved = gathered.to('HSET', keys.connections(shard));
  for (const [clientId, { before, after }] of changes.connections) {
    if (after === undefined) gathered.to('HDEL', keys.connections(shard)).push(clientId);
    else saved.push(clientId, encodeConnection(after));
    if (before?.state !== after?.state || before?.type !== after?.type) {
      if (before !== undefined) gathered.to('ZREM', keys.index(shard, before.state, before.type)).push(clientId);
      if (after !== undefined) gathered.to('ZADD', keys.index(shard, after.state, after.type)).push(0, clientId);
    }
    if (before?.facts === after?.facts) continue;
    const oldTerms = before === undefined ? new Set<string>() : factMembers(before);
    const newTerms = after === undefined ? new Set<string>() : factMembers(after);
    for (const term of oldTerms) if (!newTerms.has(term)) gathered.to('ZREM', keys.facts(shard)).push(term);
    for (const term of newTerms) if (!oldTerms.has(term)) gathered.to('ZADD', keys.facts(shard)).push(0, term);
  }
  for (const todo of changes.undone) gathered.to('ZREM', keys.todo(shard)).push(encodeToDo(todo));
  for (const { todo, due } of changes.todos) gathered.to('ZADD', keys.todo(shard)).push(due, encodeToDo(todo));

  const writes = [...gathered.writes()];
  for (const { sweep, changes: kinds } of changes.swept) {
    const key = keys.sweepCounts(shard, sweep);
    for (const kind of new Set(kinds)) {
      writes.push({ command: ['HINCRBY', key, kind, kinds.filter((one) => one === kind).length] });
    }
    writes.push({ command: ['PEXPIRE', key, SWEEP_COUNTS_KEPT_MS] });
  }
  for (const { at, ...event } of changes.events) {
    writes.push({
      command: ['XADD', keys.events(shard), 'MAXLEN', '~', EVENTS_KEPT, '*', 'at', at, 'event', JSON.stringify(event)],
    });
  }
  for (const { at, ...letter } of changes.deadLetters) {
    writes.push({
      command: [
        'XADD',
        keys.deadLetters(shard),
        'MAXLEN',
        '~',
        DEAD_LETTERS_KEPT,
        '*',
        'at',
        at,
        'letter',
        JSON.stringify(letter),
      ],
    });
  }
  for (const { clientId, due } of changes.arrived) {
    const todo = encodeToDo({ do: 'wake', client_id: clientId });
    writes.push({ command: ['ZADD', keys.todo(shard), due, todo], ifExists: keys.outbox(shard, clientId) });
  }
  return writes;
}
