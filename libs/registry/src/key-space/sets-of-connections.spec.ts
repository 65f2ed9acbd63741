import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { hostConnection } from '../../../../test/support/connections.js';
import { withRedis } from '../../../../test/support/redis.js';
import { ConnectionDirectory, type ConnectionFilter } from '../connections/connection-directory.js';
import { encodeConnection } from '../connections/connection-record.js';
import { RegistryKeys } from '../keys.js';
import { SETS_OF_CONNECTIONS } from './sets-of-connections.js';

const GRANT: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:boot' };
const keys = new RegistryKeys('sets');
const shard = keys.shard(0);
let redis: Redis;

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  await redis.flushall();
  await redis.set(keys.owner(GRANT), GRANT.fence);
});

async function found(filter: ConnectionFilter): Promise<string[]> {
  const { connections } = await new ConnectionDirectory(redis, keys, 1).list(filter, 1000);
  return connections.map(({ client_id }) => client_id);
}

/** A shard of format 3. */
async function storeFormer(): Promise<void> {
  const of = (id: string, more: Parameters<typeof hostConnection>[1]): [string, string] => [
    id,
    encodeConnection(hostConnection(id, more)),
  ];
  await redis.hset(
    keys.connections(0),
    ...[
      of('on', { refused_until: 'never' }),
      of('off', { state: 'offline', offline_reason: 'goodbye' }),
      of('gone', { state: 'offline', offline_reason: 'unconfirmed', account: 'acme' }),
      of('old', { state: 'offline' }),
      ['broken', 'not JSON'] as const,
    ].flat(),
  );
  await redis.hset(keys.accounts(0), 'gone', 'acme');
  await redis.zadd(`${shard}:online:host`, 0, 'on');
  await redis.zadd(`${shard}:offline:host`, 0, 'off', 0, 'gone', 0, 'old');
  await redis.zadd(`${shard}:account:acme:offline:host`, 0, 'gone');
}

it('the migration puts each offline connection into the set of its reason, and removes the former sets', async () => {
  await storeFormer();
  for (let i = 0; i < 2; i++) await SETS_OF_CONNECTIONS.run(redis, keys, GRANT);
  expect(await found({ state: 'online' })).toEqual(['on']);
  expect(await found({ state: 'offline' })).toEqual(['gone', 'off', 'old']);
  expect(await found({ offlineReason: 'unconfirmed', account: 'acme' })).toEqual(['gone']);
  expect(await found({ offlineReason: 'unknown' })).toEqual(['old']);
  expect(await found({ refused: true })).toEqual(['on']);
  expect(await redis.exists(`${shard}:offline:host`, `${shard}:account:acme:offline:host`)).toBe(0);
});

it('the migration of thousands of connections reads them page by page', async () => {
  const ids = Array.from({ length: 3000 }, (_, i) => `c-${String(i).padStart(4, '0')}`);
  const records = ids.flatMap((id) => [
    id,
    encodeConnection(hostConnection(id, { state: 'offline', offline_reason: 'goodbye' })),
  ]);
  await redis.hset(keys.connections(0), ...records);
  await SETS_OF_CONNECTIONS.run(redis, keys, GRANT);
  expect(await redis.zrange(keys.offline(0, 'host', 'goodbye'), '0', '-1')).toEqual(ids);
});

it('the migration of sets writes nothing if the owner has lost the shard', async () => {
  await storeFormer();
  await redis.set(keys.owner(GRANT), 'another');
  await expect(SETS_OF_CONNECTIONS.run(redis, keys, GRANT)).rejects.toThrow(StaleOwnerError);
  expect(await redis.zcard(`${shard}:offline:host`)).toBe(3);
  expect(await redis.exists(keys.offline(0, 'host', 'goodbye'))).toBe(0);
});
