/**
 * Format 3 stores connections as shorter texts, their index of facts in many small sets, and renames kinds of to-dos and two
 * keys. Their meaning has not changed.
 */
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { commands } from '../commands.js';
import type { Connection } from '../connections/connection.js';
import { DEFAULTS, encodeConnection } from '../connections/connection-record.js';
import { connectionMembers } from '../connections/fact-index.js';
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
  { owner: string; connections: string; facts_prefix: string },
  { fence: string; connections: readonly (string | number)[] },
  -1 | 0
>('rewrite-connections');

const removeFacts = commands.load<
  { owner: string; facts: string; account_prefix: string },
  { fence: string; accounts: readonly string[] },
  -1 | 0
>('remove-former-facts');

const rewriteToDos = commands.load<
  { owner: string; todo: string },
  { fence: string; todos: readonly string[] },
  -1 | 0
>('rewrite-todos');

export const STORED_NAMES: MigrationStep = {
  to: 3,
  what: 'connections, their index of facts, and names of to-dos and keys',
  run: async (redis, keys, grant) => {
    await migrateKeys(redis, keys, grant);
    await migrateConnections(redis, keys, grant);
    await removeFormerFacts(redis, keys, grant);
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
  const names = {
    owner: keys.owner(grant),
    connections: keys.connections(grant.index),
    facts_prefix: keys.factsPrefix(grant.index),
  };
  for (let cursor = '0'; ;) {
    const [next, flat] = await redis.hscan(names.connections, cursor, 'COUNT', PAGE);
    const connections: (string | number)[] = [];
    for (let i = 0; i + 1 < flat.length; i += 2) {
      const connection = formerConnection(flat[i] ?? '', flat[i + 1] ?? '');
      if (connection === undefined) continue;
      const members = connectionMembers(connection);
      connections.push(connection.client_id, encodeConnection(connection), members.length);
      for (const { bucket, member } of members) connections.push(bucket, member);
    }
    if (connections.length > 0) {
      assertOwner(grant, await rewriteConnections.run(redis, names, { fence: grant.fence, connections }));
    }
    if (next === '0') return;
    cursor = next;
  }
}

/** The sorted sets that held all facts of a shard, and those of an account. */
async function removeFormerFacts(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void> {
  const shard = keys.shard(grant.index);
  const names = { owner: keys.owner(grant), facts: `${shard}:facts`, account_prefix: `${shard}:account:` };
  for (let cursor = '0'; ;) {
    const [next, flat] = await redis.hscan(keys.accounts(grant.index), cursor, 'COUNT', PAGE);
    const accounts = [...new Set(flat.filter((_, i) => i % 2 === 1))];
    assertOwner(grant, await removeFacts.run(redis, names, { fence: grant.fence, accounts }));
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

/** @returns undefined for a connection of format 3, and for an unreadable one, which the shard's owner dead-letters */
function formerConnection(clientId: string, text: string): Connection | undefined {
  const connection = objectOf(text);
  const { client_id, connected_at, facts } = connection ?? {};
  if (client_id !== clientId || typeof connected_at !== 'number' || typeof facts !== 'object') return undefined;
  const renamed: Record<string, unknown> = { ...DEFAULTS };
  for (const [name, value] of Object.entries(connection ?? {})) renamed[CONNECTION_MEMBERS[name] ?? name] = value;
  const { coalesced } = renamed;
  if (typeof coalesced === 'object' && coalesced !== null && 'told' in coalesced) {
    const { told: state, ...rest } = coalesced;
    renamed['coalesced'] = { ...rest, emitted_state: state };
  }
  return renamed as unknown as Connection;
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
