import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { decodeConnection } from '../connections/connection.js';
import { RegistryKeys } from '../keys.js';
import { decodeToDo } from '../todos/to-do.js';
import { STORED_NAMES } from './stored-names.js';

const GRANT: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:boot' };
const keys = new RegistryKeys('names');
let redis: Redis;

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  await redis.flushall();
  await redis.set(keys.owner(GRANT), GRANT.fence);
});

/** A connection in format 2. */
function formerConnection(client_id: string, more: object = {}): string {
  const names = { left_handshakes: ['h-0'], set_aside: 'x', shaken_at: 5, told_at: 6, held: null };
  return JSON.stringify({ facts: { fqdn: 'a.example' }, client_id, state: 'online', ...names, ...more });
}

async function migrateTwice(): Promise<void> {
  for (let i = 0; i < 2; i++) await STORED_NAMES.run(redis, keys, GRANT);
}

it('the migration of names renames the members of each connection and keeps their values', async () => {
  const held = { since: 1, due: 2, changes: 3, told: 'online' };
  const many = Array.from({ length: 1000 }, (_, i) => [`c-${i}`, formerConnection(`c-${i}`, { held })]);
  await redis.hset(keys.connections(0), ...many.flat());
  await migrateTwice();
  const stored = await redis.hvals(keys.connections(0));
  expect(stored).toHaveLength(1000);
  for (const text of stored) {
    expect(decodeConnection(text)).toEqual({
      facts: { fqdn: 'a.example' },
      client_id: expect.stringMatching(/^c-\d+$/) as string,
      state: 'online',
      superseded_handshakes: ['h-0'],
      dead_letter_digest: 'x',
      last_live_handshake_at: 5,
      last_event_at: 6,
      coalesced: { since: 1, due: 2, changes: 3, emitted_state: 'online' },
    });
  }
});

it('the migration of names does not change unreadable connections and connections with the new names', async () => {
  const current = JSON.stringify({ facts: {}, client_id: 'b', coalesced: null });
  await redis.hset(keys.connections(0), { a: 'not JSON', b: current });
  await migrateTwice();
  expect(await redis.hgetall(keys.connections(0))).toEqual({ a: 'not JSON', b: current });
});

it('the migration of names renames the kinds of to-dos and keeps their due times', async () => {
  const order = { type: 'force-disconnect', payload: { reconnect_after: 'never' } };
  const former = [
    { do: 'tell', client_id: 'a' },
    { do: 'confirm', client_id: 'a', after: 'flood' },
    { do: 'confirm', client_id: 'b' },
    { do: 'answer', client_id: 'a', answer: order, message_id: 'x' },
    { do: 'wake' },
  ];
  await redis.zadd(keys.todo(0), ...former.flatMap((todo, i) => [i + 10, JSON.stringify(todo)]), 5000, 'not a to-do');
  await migrateTwice();
  const [texts, scores]: [string[], string[]] = [[], []];
  for (const [i, part] of (await redis.zrange(keys.todo(0), '0', '-1', 'WITHSCORES')).flat().entries()) {
    (i % 2 === 0 ? texts : scores).push(part);
  }
  expect(scores.map(Number)).toEqual([10, 11, 12, 13, 14, 5000]);
  expect(texts.slice(0, -1).map(decodeToDo)).toEqual([
    { do: 'flush', client_id: 'a' },
    { do: 'confirm', client_id: 'a', after: 'throttled' },
    { do: 'confirm', client_id: 'b' },
    { do: 'reply', client_id: 'a', reply: order, message_id: 'x' },
    { do: 'wake' },
  ]);
  expect(texts.at(-1)).toBe('not a to-do');
});

it('the migration of names renames the keys of reported messages and of answered clients', async () => {
  const shard = keys.shard(0);
  await redis.zadd(`${shard}:passed-on`, 7, 'digest');
  await redis.hset(`${shard}:refusals:answered`, 'a', '1;0;x');
  await migrateTwice();
  const [, replied] = keys.refusals(0);
  expect(await redis.zscore(keys.reported(0), 'digest')).toBe('7');
  expect(await redis.hget(replied, 'a')).toBe('1;0;x');
  expect(await redis.exists(`${shard}:passed-on`, `${shard}:refusals:answered`)).toBe(0);
});

it('the migration of names writes nothing if the owner has lost the shard', async () => {
  await redis.set(keys.owner(GRANT), 'another');
  await redis.hset(keys.connections(0), 'a', formerConnection('a'));
  await expect(STORED_NAMES.run(redis, keys, GRANT)).rejects.toThrow(StaleOwnerError);
  expect(await redis.hget(keys.connections(0), 'a')).toBe(formerConnection('a'));
});
