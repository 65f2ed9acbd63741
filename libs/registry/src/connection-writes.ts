/** Turns what a batch of transitions changed into the writes of one fenced commit. Pure. */
import { MAX_WRITE_ARGS, type ShardWrite } from '@app/sharding';
import { encodeConnection, type Connection } from './connection.js';
import { DEAD_LETTERS_KEPT, EVENTS_KEPT, type DeadLetter, type RegistryEvent } from './event.js';
import { factMembers } from './fact-index.js';
import type { RegistryKeys } from './registry-keys.js';
import { encodeToDo, type ToDo } from './to-do.js';

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
  todos: readonly { todo: ToDo; due: number }[];
  /** To-dos that the batch made obsolete. */
  undone: readonly ToDo[];
  /** Clients that came online: wake a dispatcher, if something waits for them. */
  arrived: readonly { clientId: string; due: number }[];
}

export function connectionWrites(keys: RegistryKeys, shard: number, changes: BatchChanges): ShardWrite[] {
  const perKey = new Map<string, (string | number)[]>();
  const put = (command: string, key: string, ...args: (string | number)[]): void => {
    const id = `${command} ${key}`;
    const list = perKey.get(id);
    if (list === undefined) perKey.set(id, [...args]);
    else list.push(...args);
  };

  for (const [clientId, { before, after }] of changes.connections) {
    if (after === undefined) put('HDEL', keys.connections(shard), clientId);
    else put('HSET', keys.connections(shard), clientId, encodeConnection(after));
    moveIndexes(clientId, before, after);
  }
  for (const todo of changes.undone) put('ZREM', keys.todo(shard), encodeToDo(todo));
  for (const { todo, due } of changes.todos) put('ZADD', keys.todo(shard), due, encodeToDo(todo));

  const writes: ShardWrite[] = [];
  for (const [id, args] of perKey) {
    const [command, key] = splitOnce(id);
    // An even step keeps score-member and field-value pairs together.
    for (let i = 0; i < args.length; i += MAX_WRITE_ARGS - 2) {
      writes.push({ command: [command, key, ...args.slice(i, i + MAX_WRITE_ARGS - 2)] });
    }
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

  function moveIndexes(clientId: string, before: Connection | undefined, after: Connection | undefined): void {
    const old = before && keys.index(shard, before.state, before.type);
    const now = after && keys.index(shard, after.state, after.type);
    if (old !== now) {
      if (old !== undefined) put('ZREM', old, clientId);
      if (now !== undefined) put('ZADD', now, 0, clientId);
    }
    if (before?.facts === after?.facts) return;
    const oldTerms = before === undefined ? new Set<string>() : factMembers(before);
    const newTerms = after === undefined ? new Set<string>() : factMembers(after);
    for (const term of oldTerms) if (!newTerms.has(term)) put('ZREM', keys.facts(shard), term);
    for (const term of newTerms) if (!oldTerms.has(term)) put('ZADD', keys.facts(shard), 0, term);
  }
}

function splitOnce(id: string): [string, string] {
  const space = id.indexOf(' ');
  return [id.slice(0, space), id.slice(space + 1)];
}
