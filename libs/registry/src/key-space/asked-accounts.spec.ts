import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { RegistryKeys } from '../keys.js';
import { encodeToDo } from '../todos/to-do.js';
import { ASKED_ACCOUNTS } from './asked-accounts.js';

const GRANT: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:boot' };
let redis: Redis;

withRedis((connection) => (redis = connection));

it('the migration of account requests marks the clients with an account and a pending request, however often it runs', async () => {
  const keys = new RegistryKeys('asked');
  const asked = Array.from({ length: 1200 }, (_, i) => `asked-${i}`);
  const todos = redis.multi();
  for (const client_id of asked) {
    todos.zadd(keys.todo(0), 1, encodeToDo({ do: 'account', client_id }));
    todos.hset(keys.accounts(0), client_id, 'acme');
  }
  todos.zadd(keys.todo(0), 1, encodeToDo({ do: 'account', client_id: 'nobodys' }), 2, encodeToDo({ do: 'wake' }));
  todos.zadd(keys.todo(0), 1, encodeToDo({ do: 'flush', client_id: '{"do":"account",' }));
  todos.hset(keys.accounts(0), '{"do":"account",', 'acme', 'known', 'acme');
  todos.zadd(keys.todo(0), 1, '{"do":"account",');
  await todos.exec();
  await redis.set(keys.owner(GRANT), GRANT.fence);
  for (let times = 0; times < 2; times++) await ASKED_ACCOUNTS.run(redis, keys, GRANT);
  expect((await redis.smembers(keys.accountsAsked(0))).sort()).toEqual(asked.sort());
});

it('the migration of account requests works while Redis is full, and only for the owner of the shard', async () => {
  const keys = new RegistryKeys('asked-full');
  await redis.zadd(keys.todo(0), 1, encodeToDo({ do: 'account', client_id: 'a' }));
  await redis.hset(keys.accounts(0), 'a', 'acme');
  await redis.set(keys.owner(GRANT), 'another');
  await redis.config('SET', 'maxmemory', '1');
  try {
    await expect(redis.set('one-more', 'x')).rejects.toThrow('OOM');
    await expect(ASKED_ACCOUNTS.run(redis, keys, GRANT)).rejects.toThrow(StaleOwnerError);
    await redis.config('SET', 'maxmemory', '0');
    await redis.set(keys.owner(GRANT), GRANT.fence);
    await redis.config('SET', 'maxmemory', '1');
    await ASKED_ACCOUNTS.run(redis, keys, GRANT);
    expect(await redis.smembers(keys.accountsAsked(0))).toEqual(['a']);
  } finally {
    await redis.config('SET', 'maxmemory', '0');
  }
});
