/** Connections to a Redis Cluster of three masters. */
import { Redis as RedisServer } from 'ioredis';
import { eventually, quiet, startRedisCluster, type RedisCluster } from '../../../test/support/servers.js';
import { LuaCommands } from './lua-commands.js';
import { MemoryWatch } from './memory-watch.js';
import { assertRedisRequirements } from './redis-requirements.js';
import { RedisRestartDetector } from './redis-restart-detector.js';
import { isRedisError } from './redis-error.js';
import { closeRedis, connectRedis, mastersOf, redisTrouble, type Redis } from './redis.js';

const SLOT_TAGS = ['{a}', '{b}', '{c}', '{s0}', '{s1}', '{s2}', '{s3}', '{s4}'];

const addBoth = new LuaCommands('spec/src/commands').fromText<{ x: string; y: string }, { by: number }, number>(
  'add-both',
  `#!lua flags=allow-oom
-- KEYS x, y
-- ARGV by
return redis.call('INCRBY', KEYS.x, ARGV.by) + redis.call('INCRBY', KEYS.y, ARGV.by)`,
);

let cluster: RedisCluster;
let wait: Redis;
let fail: Redis;

beforeAll(async () => {
  cluster = await startRedisCluster();
  wait = connectRedis(cluster.url, { name: 'spec-wait', whenAway: 'wait' }, quiet);
  fail = connectRedis(cluster.url, { name: 'spec-fail', whenAway: 'fail' }, quiet);
  await wait.ping();
  await eventually(() => expect(fail.status).toBe('ready'));
});

afterAll(async () => {
  await Promise.all([closeRedis(wait), closeRedis(fail)]);
  await cluster.stop();
});

/** A connection to each master, by its node id. */
async function nodesById(): Promise<Map<string, RedisServer>> {
  const servers = cluster.ports.map(({ port }) => new RedisServer(port, '127.0.0.1'));
  const ids = await Promise.all(servers.map((server) => server.call('CLUSTER', 'MYID')));
  return new Map(ids.map((id, i) => [String(id), servers[i] as RedisServer]));
}

/** Where a key's slot lies, and another node. */
async function placeOf(
  key: string,
): Promise<{ slot: number; from: string; to: string; nodes: Map<string, RedisServer> }> {
  const nodes = await nodesById();
  const [any] = nodes.values();
  const slot = Number(await any?.cluster('KEYSLOT', key));
  const ranges = (await any?.cluster('SLOTS')) ?? [];
  const from = ranges.find(([first, last]) => first <= slot && slot <= last)?.[2]?.[2] ?? '';
  const to = [...nodes.keys()].find((id) => id !== from) ?? '';
  return { slot, from, to, nodes };
}

async function outcome(act: Promise<unknown>): Promise<unknown> {
  return act.catch((error: unknown) => error);
}

it('runs scripts on every node, each on the node of its keys', async () => {
  const sums = await Promise.all(
    SLOT_TAGS.map((tag, i) => addBoth.run(wait, { x: `sum:${tag}:x`, y: `sum:${tag}:y` }, { by: i + 1 })),
  );
  expect(sums).toEqual(SLOT_TAGS.map((_, i) => 2 * (i + 1)));
  const sizes = await Promise.all(mastersOf(wait).map((master) => master.dbsize()));
  expect(sizes).toHaveLength(3);
  for (const size of sizes) expect(size).toBeGreaterThan(0);
});

it('refuses a cluster in which one master may evict, and names it', async () => {
  await expect(assertRedisRequirements(wait)).resolves.toBeUndefined();
  const [, second] = cluster.ports;
  const server = new RedisServer(second?.port ?? 0, '127.0.0.1');
  await server.config('SET', 'maxmemory-policy', 'allkeys-lru');
  await expect(assertRedisRequirements(wait)).rejects.toThrow(
    `Redis (port ${String(second?.port)}) has maxmemory-policy allkeys-lru`,
  );
  await server.config('SET', 'maxmemory-policy', 'noeviction');
  server.disconnect();
});

describe('the watch on memory', () => {
  const FULL = { share: 0.9 };

  async function masterOf(tag: string): Promise<{ index: number; server: RedisServer }> {
    const { from, nodes } = await placeOf(tag);
    const index = [...nodes.keys()].indexOf(from);
    for (const [id, node] of nodes) if (id !== from) node.disconnect();
    return { index, server: nodes.get(from) as RedisServer };
  }

  it('knows for each master whether it is above a mark, and so for each shard', async () => {
    const watch = new MemoryWatch(fail, SLOT_TAGS, quiet);
    const { index, server } = await masterOf('{a}');
    const others = await Promise.all(SLOT_TAGS.map(async (tag) => (await masterOf(tag)).index));
    await watch.start();
    try {
      expect([watch.maxBytes, watch.anyAbove(FULL)]).toEqual([undefined, false]);
      await server.config('SET', 'maxmemory', '1');
      const full = SLOT_TAGS.map((_, shard) => others[shard] === index);
      expect(new Set(full).size).toBe(2);
      await eventually(() => expect(SLOT_TAGS.map((_, shard) => watch.isAbove(FULL, shard))).toEqual(full));
      expect(watch.anyAbove(FULL)).toBe(true);
      await server.config('SET', 'maxmemory', '0');
      await eventually(() => expect(watch.anyAbove(FULL)).toBe(false));
    } finally {
      await server.config('SET', 'maxmemory', '0');
      server.disconnect();
      watch.stop();
    }
  });

  it('goes on for the other masters while one does not answer', async () => {
    const watch = new MemoryWatch(wait, SLOT_TAGS, quiet);
    const places = await Promise.all(SLOT_TAGS.map(async (tag) => (await masterOf(tag)).index));
    const other = places.findIndex((place) => place !== places[0]);
    const { server } = await masterOf(SLOT_TAGS[other] ?? '');
    const pid = cluster.nodes[places[0] ?? 0]?.pid ?? 0;
    await watch.start();
    process.kill(pid, 'SIGSTOP');
    try {
      await server.config('SET', 'maxmemory', '1');
      let isRead = false;
      const reading = watch.start().then(() => (isRead = true));
      await eventually(() => expect(watch.isAbove(FULL, other)).toBe(true));
      expect(isRead).toBe(false);
      watch.stop();
      process.kill(pid, 'SIGCONT');
      await reading;
    } finally {
      process.kill(pid, 'SIGCONT');
      await server.config('SET', 'maxmemory', '0');
      server.disconnect();
      watch.stop();
    }
    await eventually(async () => expect(await wait.cluster('INFO')).toContain('cluster_state:ok'));
  });
});

describe('a slot that moves', () => {
  it('holds back what touches keys on both sides until it has moved; nothing is lost or done twice', async () => {
    const [x, y] = ['sum:{moving}:x', 'sum:{moving}:y'];
    await addBoth.run(wait, { x, y }, { by: 1 });
    const { slot, from, to, nodes } = await placeOf(x);
    const [source, target] = [nodes.get(from), nodes.get(to)];
    await target?.cluster('SETSLOT', slot, 'IMPORTING', from);
    await source?.cluster('SETSLOT', slot, 'MIGRATING', to);
    await source?.migrate('127.0.0.1', target?.options.port ?? 0, x, 0, 1000);

    // One key here, one there: TRYAGAIN, for as long as it takes.
    const waiting = addBoth.run(wait, { x, y }, { by: 10 });
    // Each try after it asks any node, which may send it back: whose word the last one is, is chance.
    const refusals: unknown[] = [];
    await eventually(async () => {
      refusals.push(await outcome(addBoth.run(fail, { x, y }, { by: 100 })));
      expect(String(refusals.at(-1))).toMatch(/TRYAGAIN|timed out/);
    });
    for (const refused of refusals) expect(isRedisError(refused)).toBe(true);
    // A single key is found on the node that has it: ASK.
    expect(await wait.get(x)).toBe('1');
    expect(await fail.get(x)).toBe('1');

    await source?.migrate('127.0.0.1', target?.options.port ?? 0, y, 0, 1000);
    for (const node of [target, source]) await node?.cluster('SETSLOT', slot, 'NODE', to);
    expect(await waiting).toBe(22);
    // MOVED, on a connection that has not seen the move yet.
    expect(await fail.mget(x, y)).toEqual(['11', '11']);
    for (const node of nodes.values()) node.disconnect();
  });
});

describe('a master that is killed', () => {
  it('readiness reports a missing master; `fail` answers while it is away, `wait` waits until it is back', async () => {
    const runs = new RedisRestartDetector(fail);
    expect(await runs.changed()).toBe(false);
    expect(await redisTrouble(wait)).toBeUndefined();
    const { from, nodes } = await placeOf('{s0}');
    const port = nodes.get(from)?.options.port;
    for (const node of nodes.values()) node.disconnect();
    const index = cluster.ports.findIndex((one) => one.port === port);
    await cluster.nodes[index]?.kill();

    const refused = await outcome(addBoth.run(fail, { x: 'kill:{s0}:x', y: 'kill:{s0}:y' }, { by: 1 }));
    expect(isRedisError(refused)).toBe(true);
    const waiting = addBoth.run(wait, { x: 'kill:{s0}:x', y: 'kill:{s0}:y' }, { by: 1 });
    await eventually(async () => expect(await redisTrouble(wait)).toBeDefined());
    await eventually(async () => expect(await redisTrouble(fail)).toBeDefined());
    // An unavailable master does not hide the reply of another one.
    const another = new RedisRestartDetector(fail);
    await outcome(another.changed());

    await cluster.again(index);
    expect(await waiting).toBe(2);
    await eventually(async () => expect(await redisTrouble(wait)).toBeUndefined());
    await eventually(async () =>
      expect(await outcome(addBoth.run(fail, { x: 'kill:{s0}:x', y: 'kill:{s0}:y' }, { by: 1 }))).toBe(4),
    );
    for (const one of [runs, another]) expect([await one.changed(), await one.changed()]).toEqual([true, false]);
  });
});
