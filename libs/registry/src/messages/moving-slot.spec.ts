/** A hash slot of a Redis Cluster moves to another master while commands on messages are called. */
import { Redis as RedisServer } from 'ioredis';
import { closeRedis, connectRedis, isRedisError, type Redis } from '@app/platform';
import { eventually, quiet, startRedisCluster, type RedisCluster } from '../../../../test/support/servers.js';
import { CLIENT, MessageBench, SHARD } from '../../../../test/support/message-bench.js';

let cluster: RedisCluster;
let redis: Redis;
let nodes: RedisServer[];

beforeAll(async () => {
  cluster = await startRedisCluster();
  redis = connectRedis(cluster.url, { name: 'spec', whenAway: 'fail' }, quiet);
  nodes = cluster.ports.map(({ port }) => new RedisServer(port, '127.0.0.1'));
  await eventually('the connection is ready', () => expect(redis.status).toBe('ready'));
});

afterAll(async () => {
  for (const node of nodes) node.disconnect();
  await closeRedis(redis);
  await cluster.stop();
});

it('no command runs while the keys of its shard are on two masters', async () => {
  const bench = new MessageBench(redis);
  const { keys } = bench;
  for (const key of [keys.online(SHARD, 'host'), keys.offline(SHARD, 'host', 'goodbye')])
    await redis.zadd(key, 0, CLIENT);
  const first = bench.minted();
  await bench.messages.accept(SHARD, [first]);

  const slot = Number(await nodes[0]?.cluster('KEYSLOT', keys.shard(SHARD)));
  const ranges = (await nodes[0]?.cluster('SLOTS')) ?? [];
  const from = String(ranges.find(([start, end]) => start <= slot && slot <= end)?.[2]?.[2]);
  const ids = await Promise.all(nodes.map(async (node) => String(await node.call('CLUSTER', 'MYID'))));
  const source = nodes[ids.indexOf(from)];
  const target = nodes[(ids.indexOf(from) + 1) % nodes.length];
  const to = ids[(ids.indexOf(from) + 1) % nodes.length] ?? '';
  const move = async (...names: string[]): Promise<void> => {
    await source?.call('MIGRATE', '127.0.0.1', `${target?.options.port}`, '', '0', '5000', 'KEYS', ...names);
  };
  await target?.cluster('SETSLOT', slot, 'IMPORTING', from);
  await source?.cluster('SETSLOT', slot, 'MIGRATING', to);
  await move(keys.online(SHARD, 'host'));

  const second = bench.minted();
  const failure: unknown = await bench.messages.accept(SHARD, [second]).catch((error: unknown) => error);
  expect(isRedisError(failure)).toBe(true);
  await move(...((await source?.cluster('GETKEYSINSLOT', slot, 1000)) ?? []));
  for (const node of nodes) await node.cluster('SETSLOT', slot, 'NODE', to);
  await eventually('the slot has moved', () => bench.messages.accept(SHARD, [second]));
  expect(await bench.outbox()).toEqual([first.messageId, second.messageId]);
});
