/** Format 3 renames members of connections, kinds of to-dos and two keys. Their meaning has not changed. */
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { commands } from '../commands.js';
import type { RegistryKeys } from '../keys.js';
import type { MigrationStep } from './migration-step.js';

/** Approximate number of connections or to-dos that are read at a time: a connection can take 256 KiB. */
const PAGE = 100;

const CONNECTION_MEMBERS: Readonly<Record<string, string>> = {
  left_handshakes: 'superseded_handshakes',
  set_aside: 'dead_letter_digest',
  shaken_at: 'last_live_handshake_at',
  told_at: 'last_event_at',
  held: 'coalesced',
};

const renameKeys = commands.load<
  { owner: string; passed_on: string; reported: string; answered: string; replied: string },
  { fence: string },
  -1 | 0
>('rename-keys');

const rewriteConnections = commands.load<
  { owner: string; connections: string },
  { fence: string; connections: readonly string[] },
  -1 | 0
>('rewrite-connections');

const rewriteToDos = commands.load<
  { owner: string; todo: string },
  { fence: string; todos: readonly string[] },
  -1 | 0
>('rewrite-todos');

export const STORED_NAMES: MigrationStep = {
  to: 3,
  what: 'names of connection members, to-dos and keys',
  run: async (redis, keys, grant) => {
    await migrateKeys(redis, keys, grant);
    await migrateConnections(redis, keys, grant);
    await migrateToDos(redis, keys, grant);
  },
};

async function migrateKeys(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const shard = keys.shard(grant.index);
  const [, replied] = keys.refusals(grant.index);
  const names = {
    owner: keys.owner(grant),
    passed_on: `${shard}:passed-on`,
    reported: keys.reported(grant.index),
    answered: `${shard}:refusals:answered`,
    replied,
  };
  assertOwner(grant, await renameKeys.run(redis, names, { fence: grant.fence }));
}

async function migrateConnections(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const names = { owner: keys.owner(grant), connections: keys.connections(grant.index) };
  for (let cursor = '0'; ;) {
    const [next, flat] = await redis.hscan(names.connections, cursor, 'COUNT', PAGE);
    const connections: string[] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const text = renamedConnection(flat[i + 1] ?? '');
      if (text !== undefined) connections.push(flat[i] ?? '', text);
    }
    if (connections.length > 0) {
      assertOwner(grant, await rewriteConnections.run(redis, names, { fence: grant.fence, connections }));
    }
    if (next === '0') return;
    cursor = next;
  }
}

async function migrateToDos(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const names = { owner: keys.owner(grant), todo: keys.todo(grant.index) };
  for (let cursor = '0'; ;) {
    const [next, flat] = await redis.zscan(names.todo, cursor, 'COUNT', PAGE);
    const todos: string[] = [];
    for (let i = 0; i < flat.length; i += 2) {
      const text = renamedToDo(flat[i] ?? '');
      if (text !== undefined) todos.push(flat[i] ?? '', text);
    }
    if (todos.length > 0) assertOwner(grant, await rewriteToDos.run(redis, names, { fence: grant.fence, todos }));
    if (next === '0') return;
    cursor = next;
  }
}

/** @returns undefined for a connection without old names, and for an unreadable one, which the shard's owner dead-letters */
function renamedConnection(text: string): string | undefined {
  const connection = objectOf(text);
  if (connection === undefined || !Object.keys(connection).some((name) => name in CONNECTION_MEMBERS)) return undefined;
  const renamed = Object.fromEntries(
    Object.entries(connection).map(([name, value]) => [CONNECTION_MEMBERS[name] ?? name, value]),
  );
  const { coalesced } = renamed;
  if (typeof coalesced === 'object' && coalesced !== null && 'told' in coalesced) {
    const { told: state, ...rest } = coalesced;
    renamed['coalesced'] = { ...rest, emitted_state: state };
  }
  return JSON.stringify(renamed);
}

/** @returns undefined for a to-do without old names, and for an unreadable one, which housekeeping dead-letters */
function renamedToDo(text: string): string | undefined {
  const todo = objectOf(text);
  const { client_id } = todo ?? {};
  switch (todo?.['do']) {
    case 'tell':
      return JSON.stringify({ do: 'flush', client_id });
    case 'confirm':
      return todo['after'] === 'flood' ? JSON.stringify({ do: 'confirm', client_id, after: 'throttled' }) : undefined;
    case 'answer':
      return JSON.stringify({ do: 'reply', client_id, reply: todo['answer'], message_id: todo['message_id'] });
    default:
      return undefined;
  }
}

function objectOf(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function assertOwner(grant: Grant, reply: -1 | 0): void {
  if (reply === -1) throw new StaleOwnerError(grant);
}
