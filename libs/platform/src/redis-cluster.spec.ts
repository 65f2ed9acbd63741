/** Connections to a Redis Cluster of three masters. */
import { once } from 'node:events';
import { Redis as RedisServer, type Cluster } from 'ioredis';
import { eventually, quiet, startRedisCluster, type RedisCluster } from '../../../test/support/servers.js';
import { LuaCommands } from './lua-commands.js';
import { MemoryWatch } from './memory-watch.js';
import { assertRedisRequirements } from './redis-requirements.js';
import { RedisRestartDetector } from './redis-restart-detector.js';
import { isRedisError } from './redis-error.js';
import { redisOutage } from './redis-outage.js';
import { closeRedis, connectRedis, mastersOf, type Redis } from './redis.js';

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
/** Connections of one test to single nodes. */
const toNodes: RedisServer[] = [];

beforeAll(async () => {
  cluster = await startRedisCluster();
  wait = connectRedis(cluster.url, { name: 'spec-wait', whenAway: 'wait' }, quiet);
  fail = connectRedis(cluster.url, { name: 'spec-fail', whenAway: 'fail' }, quiet);
  await wait.ping();
  await eventually('the connection is ready', () => expect(fail.status).toBe('ready'));
});

afterEach(() => {
  for (const node of toNodes.splice(0)) node.disconnect();
});

afterAll(async () => {
  await Promise.all([closeRedis(wait), closeRedis(fail)]);
  await cluster.stop();
});

function connectTo(port = 0): RedisServer {
  const node = new RedisServer(port, '127.0.0.1');
  toNodes.push(node);
  return node;
}

/** A connection to each master, by its node id. */
async function connectToNodes(): Promise<Map<string, RedisServer>> {
  const servers = cluster.ports.map(({ port }) => connectTo(port));
  const ids = await Promise.all(servers.map((server) => server.call('CLUSTER', 'MYID')));
  return new Map(ids.map((id, i) => [String(id), servers[i] as RedisServer]));
}

/** The hash slot of a key, the id of its node, and the id of another node. */
async function placeOf(
  key: string,
): Promise<{ slot: number; from: string; to: string; nodes: Map<string, RedisServer> }> {
  const nodes = await connectToNodes();
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

it('a Redis Cluster runs each script on the node of its keys', async () => {
  const sums = await Promise.all(
    SLOT_TAGS.map((tag, i) => addBoth.run(wait, { x: `sum:${tag}:x`, y: `sum:${tag}:y` }, { by: i + 1 })),
  );
  expect(sums).toEqual(SLOT_TAGS.map((_, i) => 2 * (i + 1)));
  const sizes = await Promise.all(mastersOf(wait).map((master) => master.dbsize()));
  expect(sizes).toHaveLength(3);
  for (const size of sizes) expect(size).toBeGreaterThan(0);
});

it('assertRedisRequirements refuses a cluster in which one master may evict keys, and names the master', async () => {
  await expect(assertRedisRequirements(wait)).resolves.toBeUndefined();
  const [, second] = cluster.ports;
  const server = connectTo(second?.port);
  await server.config('SET', 'maxmemory-policy', 'allkeys-lru');
  await expect(assertRedisRequirements(wait)).rejects.toThrow(
    `Redis (port ${String(second?.port)}) has maxmemory-policy allkeys-lru`,
  );
  await server.config('SET', 'maxmemory-policy', 'noeviction');
});

it('a connection to a Redis Cluster that is ended while it refreshes the slots never refreshes them again', async () => {
  const redis = connectRedis(cluster.url, { name: 'spec-ended', whenAway: 'wait' }, quiet) as Cluster;
  redis.options.slotsRefreshInterval = 1;
  await redis.ping();
  await eventually('the slots are being refreshed', () =>
    expect((redis as unknown as { isRefreshing: boolean }).isRefreshing).toBe(true),
  );
  const ended = once(redis, 'end');
  redis.disconnect();
  await ended;
  const { slotsTimer } = await eventually('the refresh has ended', () => {
    const state = redis as unknown as { isRefreshing: boolean; slotsTimer: unknown };
    expect(state.isRefreshing).toBe(false);
    return state;
  });
  expect(slotsTimer === null).toBe(true);
});

describe('MemoryWatch on a Redis Cluster', () => {
  const FULL = { share: 0.9 };

  async function masterOf(tag: string): Promise<{ index: number; server: RedisServer }> {
    const { from, nodes } = await placeOf(tag);
    return { index: [...nodes.keys()].indexOf(from), server: nodes.get(from) as RedisServer };
  }

  it('reports for each shard whether its master is above a mark', async () => {
    const watch = new MemoryWatch(fail, SLOT_TAGS, quiet);
    const { index, server } = await masterOf('{a}');
    const masters = await Promise.all(SLOT_TAGS.map(async (tag) => (await masterOf(tag)).index));
    await watch.start();
    try {
      expect([watch.maxBytes, watch.anyAbove(FULL)]).toEqual([undefined, false]);
      await server.config('SET', 'maxmemory', '1');
      const full = SLOT_TAGS.map((_, shard) => masters[shard] === index);
      expect(new Set(full).size).toBe(2);
      await eventually('the shards of the full master are above the mark', () =>
        expect(SLOT_TAGS.map((_, shard) => watch.isAbove(FULL, shard))).toEqual(full),
      );
      expect(watch.anyAbove(FULL)).toBe(true);
      await server.config('SET', 'maxmemory', '0');
      await eventually('no master is above the mark', () => expect(watch.anyAbove(FULL)).toBe(false));
    } finally {
      await server.config('SET', 'maxmemory', '0');
      watch.stop();
    }
  });

  it('keeps reading the other masters while one does not answer', async () => {
    const watch = new MemoryWatch(wait, SLOT_TAGS, quiet);
    const masters = await Promise.all(SLOT_TAGS.map(async (tag) => (await masterOf(tag)).index));
    const other = masters.findIndex((master) => master !== masters[0]);
    const { server } = await masterOf(SLOT_TAGS[other] ?? '');
    const pid = cluster.nodes[masters[0] ?? 0]?.pid ?? 0;
    await watch.start();
    process.kill(pid, 'SIGSTOP');
    try {
      await server.config('SET', 'maxmemory', '1');
      let isRead = false;
      const reading = watch.start().then(() => (isRead = true));
      await eventually('a shard of the other master is above the mark', () =>
        expect(watch.isAbove(FULL, other)).toBe(true),
      );
      expect(isRead).toBe(false);
      watch.stop();
      process.kill(pid, 'SIGCONT');
      await reading;
    } finally {
      process.kill(pid, 'SIGCONT');
      await server.config('SET', 'maxmemory', '0');
      watch.stop();
    }
    await eventually('the cluster is in order again', async () =>
      expect(await wait.cluster('INFO')).toContain('cluster_state:ok'),
    );
  });
});

describe('a hash slot that moves to another master', () => {
  it('delays a script whose keys are on both masters until the slot has moved, and the script runs once', async () => {
    const [x, y] = ['sum:{moving}:x', 'sum:{moving}:y'];
    await addBoth.run(wait, { x, y }, { by: 1 });
    const { slot, from, to, nodes } = await placeOf(x);
    const [source, target] = [nodes.get(from), nodes.get(to)];
    await target?.cluster('SETSLOT', slot, 'IMPORTING', from);
    await source?.cluster('SETSLOT', slot, 'MIGRATING', to);
    await source?.migrate('127.0.0.1', target?.options.port ?? 0, x, 0, 1000);

    // Each master has one of the keys: both reply TRYAGAIN until the slot has moved.
    const waiting = addBoth.run(wait, { x, y }, { by: 10 });
    // The client retries on a random node, which may redirect it: the last error can be either of these.
    const refusals: unknown[] = [];
    await eventually('the script is refused until the slot has moved', async () => {
      refusals.push(await outcome(addBoth.run(fail, { x, y }, { by: 100 })));
      expect(String(refusals.at(-1))).toMatch(/TRYAGAIN|timed out/);
    });
    for (const refused of refusals) expect(isRedisError(refused)).toBe(true);
    // ASK leads to the node that has the key.
    expect(await wait.get(x)).toBe('1');
    expect(await fail.get(x)).toBe('1');

    await source?.migrate('127.0.0.1', target?.options.port ?? 0, y, 0, 1000);
    for (const node of [target, source]) await node?.cluster('SETSLOT', slot, 'NODE', to);
    expect(await waiting).toBe(22);
    // MOVED: this connection does not know about the move yet.
    expect(await fail.mget(x, y)).toEqual(['11', '11']);
  });
});

describe('a master of a Redis Cluster that is killed', () => {
  it('is reported by readiness; a `fail` connection fails while it is away, and a `wait` connection waits for it', async () => {
    const runs = new RedisRestartDetector(fail);
    expect(await runs.changed()).toBe(false);
    expect(await redisOutage(wait)).toBeUndefined();
    const { from, nodes } = await placeOf('{s0}');
    const port = nodes.get(from)?.options.port;
    const index = cluster.ports.findIndex((one) => one.port === port);
    await cluster.nodes[index]?.kill();

    const refused = await outcome(addBoth.run(fail, { x: 'kill:{s0}:x', y: 'kill:{s0}:y' }, { by: 1 }));
    expect(isRedisError(refused)).toBe(true);
    const waiting = addBoth.run(wait, { x: 'kill:{s0}:x', y: 'kill:{s0}:y' }, { by: 1 });
    for (const redis of [wait, fail]) {
      await eventually('the missing master is reported', async () =>
        expect(await redisOutage(redis)).toMatch(`a master of Redis at 127.0.0.1:${port} cannot be reached: `),
      );
    }
    // The error of the missing master must not hide that the other masters are new to this detector.
    const another = new RedisRestartDetector(fail);
    await outcome(another.changed());

    await cluster.again(index);
    expect(await waiting).toBe(2);
    await eventually('all masters reply', async () => expect(await redisOutage(wait)).toBeUndefined());
    await eventually('the script runs on the restarted master', async () =>
      expect(await outcome(addBoth.run(fail, { x: 'kill:{s0}:x', y: 'kill:{s0}:y' }, { by: 1 }))).toBe(4),
    );
    for (const one of [runs, another]) expect([await one.changed(), await one.changed()]).toEqual([true, false]);
  });
});
