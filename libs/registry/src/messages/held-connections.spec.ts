/** The listing of connections with held messages, compared with their counts, while messages and clients come and go. */
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { batchOf, hostConnection } from '../../../../test/support/connections.js';
import {
  CLIENT,
  SHARD,
  SHARDS,
  neighbour,
  withMessages,
  type MessageBench,
} from '../../../../test/support/message-bench.js';
import { FencedCommit } from '../commits/fenced-commit.js';
import type { Connection } from '../connections/connection.js';
import { ConnectionDirectory } from '../connections/connection-directory.js';
import { connectionWrites } from '../connections/connection-writes.js';
import { DueTodos } from '../todos/due-work.js';
import { findHeldConnections } from './held-connections.js';

const GRANT: Grant = { kind: 'shard', index: SHARD, epoch: 1, fence: '1:boot' };
const OTHER = neighbour('other');

let bench: MessageBench;
let redis: Redis;
let directory: ConnectionDirectory;
let stored: Map<string, Connection>;

withMessages((begun) => (bench = begun));

beforeEach(async () => {
  ({ redis } = bench);
  directory = new ConnectionDirectory(redis, bench.keys, SHARDS);
  stored = new Map();
  await redis.set(bench.keys.owner(GRANT), GRANT.fence);
  await become('offline');
  await become('offline', { client_id: OTHER });
});

/** Commits a connection as the owner of the shard does. */
async function become(state: 'online' | 'offline' | undefined, more: Partial<Connection> = {}): Promise<void> {
  const id = more.client_id ?? CLIENT;
  const offline_reason = state === 'offline' ? ('goodbye' as const) : null;
  const after =
    state === undefined ? undefined : hostConnection(id, { ...stored.get(id), state, offline_reason, ...more });
  const connections = new Map([[id, { before: stored.get(id), after }]]);
  const cameOnline = state === 'online' ? [{ clientId: id }] : [];
  const writes = connectionWrites(bench.keys, SHARD, batchOf({ connections, cameOnline }));
  await new FencedCommit(redis, bench.keys).commit(GRANT, '0-0', '0-0', writes);
  if (after === undefined) stored.delete(id);
  else stored.set(id, after);
}

/** The clients that are listed. */
async function held(account?: string): Promise<string[]> {
  const filter = { held: true as const, ...(account !== undefined && { account }) };
  return (await directory.list(filter, 100)).connections.map(({ client_id }) => client_id);
}

/** Expects that the sets have these clients exactly: a listing leaves out what a set has too much. */
async function expectHeld(...ids: string[]): Promise<void> {
  expect(await redis.zrange(bench.keys.held(SHARD), '0', '-1')).toEqual(ids.toSorted());
  expect(await held()).toEqual(ids.toSorted());
  const counts = await directory.heldCounts([...stored.values()]);
  const counted = [...stored.keys()].filter((_, i) => (counts[i] ?? 0) > 0);
  expect(counted.toSorted()).toEqual(ids.toSorted());
}

describe('the connections with held messages', () => {
  it('are those that are offline and have a message, until they come online', async () => {
    await expectHeld();
    await bench.add();
    await bench.add({ clientId: OTHER });
    await bench.add();
    await expectHeld(CLIENT, OTHER);
    await become('online');
    await expectHeld(OTHER);
    await become('offline');
    await expectHeld(CLIENT, OTHER);
  });

  it('are without a client whose last message was cancelled, has expired, or was forgotten with its outbox', async () => {
    const [first, second] = [await bench.add(), await bench.add()];
    await bench.messages.cancel(first);
    await expectHeld(CLIENT);
    await bench.messages.cancel(second);
    await expectHeld();
    await bench.endTimeToLive(await bench.add());
    await expectHeld(CLIENT);
    await new DueTodos(redis, bench.keys).claim(GRANT);
    await expectHeld();
    await redis.set(bench.keys.outbox(SHARD, CLIENT), 'not a list');
    await bench.add();
    await expectHeld(CLIENT);
  });

  it('have those that are online and not subscribed, until the message is sent', async () => {
    await become('online');
    const id = await bench.add();
    await bench.claim();
    await expectHeld();
    await bench.complete({ messageId: id, attempt: 1, outcome: 'no-subscribers' });
    await expectHeld(CLIENT);
    await bench.claim();
    await bench.complete({ messageId: id, attempt: 2, outcome: 'sent' });
    await expectHeld();
  });

  it('are without an online client as soon as the message in front of its outbox was never refused', async () => {
    await become('online');
    const [first] = [await bench.add(), await bench.add()];
    await bench.claim();
    await bench.complete({ messageId: first, attempt: 1, outcome: 'no-subscribers' });
    await expectHeld(CLIENT);
    await bench.messages.cancel(first);
    await expectHeld();
  });

  it('are listed for the account of the client, and follow it to another account', async () => {
    await become('offline', { account: 'acme' });
    const id = await bench.add();
    await bench.add({ clientId: OTHER });
    expect([await held('acme'), await held('other')]).toEqual([[CLIENT], []]);
    await become('offline', { account: 'other' });
    expect([await held('acme'), await held('other')]).toEqual([[], [CLIENT]]);
    await bench.messages.cancel(id);
    expect(await held('other')).toEqual([]);
    expect(await redis.keys(`${bench.keys.prefix}:*:held`)).toEqual([bench.keys.held(SHARD)]);
  });

  it('are without a forgotten client, and have it again if it returns offline', async () => {
    await bench.add();
    await become(undefined);
    expect(await held()).toEqual([]);
    await become('offline');
    await expectHeld(CLIENT);
  });
});

describe('findHeldConnections', () => {
  it('lists what an older release has accepted without that', async () => {
    await become('offline', { account: 'acme' });
    await become('online', { client_id: OTHER });
    for (let i = 0; i < 3; i++) await bench.add();
    await bench.add({ clientId: OTHER });
    await redis.del(bench.keys.held(SHARD), bench.keys.held(SHARD, 'acme'));
    await findHeldConnections(redis, bench.keys, GRANT);
    await expectHeld(CLIENT);
    expect(await held('acme')).toEqual([CLIENT]);
  });

  it('writes nothing if the owner has lost the shard', async () => {
    await bench.add();
    await redis.del(bench.keys.held(SHARD));
    await redis.set(bench.keys.owner(GRANT), 'another');
    await expect(findHeldConnections(redis, bench.keys, GRANT)).rejects.toThrow(StaleOwnerError);
    expect(await redis.exists(bench.keys.held(SHARD))).toBe(0);
  });
});
