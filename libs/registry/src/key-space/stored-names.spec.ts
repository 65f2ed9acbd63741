import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { decodeConnection } from '../connections/connection-record.js';
import { ConnectionDirectory } from '../connections/connection-directory.js';
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
  const others = { type: 'host', state: 'online', handshake_message_id: 'h', status_topic: 'in/{clientId}' };
  const times = { connected_at: 7, last_message_at: 8, disconnected_at: null };
  return JSON.stringify({ facts: { fqdn: 'a.example' }, client_id, ...others, ...times, ...names, ...more });
}

async function migrateTwice(): Promise<void> {
  for (let i = 0; i < 2; i++) await STORED_NAMES.run(redis, keys, GRANT);
}

it('the migration stores each connection as a shorter text with the same values', async () => {
  const held = { since: 1, due: 2, changes: 3, told: 'online' };
  const ids = Array.from({ length: 1000 }, (_, i) => `c-${i}`);
  await redis.hset(keys.connections(0), ...ids.flatMap((id) => [id, formerConnection(id, { held, account: 'acme' })]));
  await migrateTwice();
  const stored = await redis.hgetall(keys.connections(0));
  expect(Object.keys(stored).toSorted()).toEqual(ids.toSorted());
  for (const [id, text] of Object.entries(stored)) {
    expect(text.length).toBeLessThan(0.6 * formerConnection(id, { held, account: 'acme' }).length);
    expect(decodeConnection(id, text)).toEqual({
      facts: { fqdn: 'a.example' },
      client_id: id,
      type: 'host',
      state: 'online',
      handshake_message_id: 'h',
      status_topic: 'in/{clientId}',
      connected_at: 7,
      last_message_at: 8,
      disconnected_at: null,
      offline_reason: null,
      refused_until: null,
      refused_handshake: null,
      unconfirmed_handshake: null,
      superseded_handshakes: ['h-0'],
      dead_letter_digest: 'x',
      last_live_handshake_at: 5,
      lane: null,
      last_event_at: 6,
      coalesced: { since: 1, due: 2, changes: 3, emitted_state: 'online' },
      account: 'acme',
    });
  }
});

it('the migration makes connections known by their facts in the new sets, and removes the former ones', async () => {
  const directory = new ConnectionDirectory(redis, keys, 1);
  const former = [`${keys.shard(0)}:facts`, `${keys.shard(0)}:account:acme:facts`];
  await redis.hset(keys.connections(0), { a: formerConnection('a'), b: formerConnection('b', { account: 'acme' }) });
  await redis.hset(keys.accounts(0), 'b', 'acme');
  for (const key of former) await redis.zadd(key, 0, 'fqdn:digest:b');
  await migrateTwice();
  const found = async (account?: string): Promise<string[]> => {
    const filter = { facts: { fqdn: 'a.example' }, ...(account !== undefined && { account }) };
    return (await directory.list(filter, 10)).connections.map(({ client_id }) => client_id);
  };
  expect(await found()).toEqual(['a', 'b']);
  expect(await found('acme')).toEqual(['b']);
  expect(await redis.exists(...former)).toBe(0);
});

it('the migration does not change unreadable connections and those of format 3', async () => {
  await redis.hset(keys.connections(0), { a: 'not JSON', b: formerConnection('b'), c: formerConnection('another') });
  await migrateTwice();
  const { b, ...others } = await redis.hgetall(keys.connections(0));
  expect(others).toEqual({ a: 'not JSON', c: formerConnection('another') });
  await migrateTwice();
  expect(await redis.hget(keys.connections(0), 'b')).toBe(b);
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
