/** A master of a Redis Cluster is away: its shards wait and hold back the cursor, and the others are served. */
import { closeRedis, connectRedis, type Redis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import { EventLog, faultsIn } from '../../../../test/support/event-log.js';
import { feedAt, listenAt, type FeedListener } from '../../../../test/support/feed-listener.js';
import { eventually, quiet, startRedisCluster, type RedisCluster } from '../../../../test/support/servers.js';
import type { EventFeed } from './event-feed.js';

const SHARDS = 12;
const keys = new RegistryKeys('masters');

let cluster: RedisCluster;
let redis: Redis;
let log: EventLog;
let feeds: [EventFeed, EventFeed];

beforeAll(async () => {
  cluster = await startRedisCluster();
  redis = connectRedis(cluster.url, { name: 'spec', whenAway: 'fail' }, quiet);
  await eventually('the connection to the cluster is ready', () => expect(redis.status).toBe('ready'));
  // The other masters answer while one is away.
  for (const { port } of cluster.ports) await onMaster(port, ['CONFIG', 'SET', 'cluster-require-full-coverage', 'no']);
  log = new EventLog(redis, keys, SHARDS);
  const feed = (): EventFeed => feedAt({ url: cluster.url, redis, keys, shards: SHARDS }, { heartbeatMs: 100 });
  feeds = [feed(), feed()];
});

afterAll(async () => {
  await Promise.all(feeds.map((feed) => feed.stop()));
  await closeRedis(redis);
  await cluster.stop();
});

async function onMaster(port: number, [name, ...args]: [string, ...string[]]): Promise<unknown> {
  const master = connectRedis(`redis://127.0.0.1:${port}`, { name: 'spec-master', whenAway: 'wait' }, quiet);
  try {
    return await master.call(name, ...args);
  } finally {
    master.disconnect();
  }
}

/** Shards whose keys are on this master. */
async function shardsOf(port: number): Promise<number[]> {
  const slots = (await onMaster(port, ['CLUSTER', 'SLOTS'])) as [number, number, [string, number]][];
  const ranges = slots.filter(([, , [, at]]) => at === port);
  const shards: number[] = [];
  for (let shard = 0; shard < SHARDS; shard++) {
    const slot = Number(await onMaster(port, ['CLUSTER', 'KEYSLOT', keys.log(shard)]));
    if (ranges.some(([first, last]) => first <= slot && slot <= last)) shards.push(shard);
  }
  return shards;
}

it('EventFeed holds back the cursor, but no event of other shards, while a master is away, for readers that follow or resume', async () => {
  const [node] = cluster.nodes;
  const away = await shardsOf(cluster.ports[0]?.port ?? 0);
  const [held = -1] = away;
  const served = Array.from({ length: SHARDS }, (_, shard) => shard).filter((shard) => !away.includes(shard));
  expect(away.length).toBeGreaterThan(0);
  expect(served.length).toBeGreaterThan(0);
  const follower = await listenAt(feeds[0]);
  // Keeps the feed of the other gateway reading.
  await listenAt(feeds[1]);
  await eventually('the follower has its first id', () => expect(follower.lastId).not.toBe(''));
  const early = follower.lastId;
  const before = await log.append(held, 3);
  await eventually('the follower has three events', () => expect(follower.numbers).toHaveLength(3));
  node?.child.kill('SIGSTOP');
  const awayMs = Date.now();
  let resumed: FeedListener;
  try {
    resumed = await listenAt(feeds[1], { after: early });
    for (let i = 0; i < 2; i++) {
      for (const shard of served)
        await eventually('the events of a shard on another master are stored', () => log.append(shard, 2));
      for (const reader of [follower, resumed]) {
        await eventually('the reader has all events of the shards that are served', () =>
          expect(missing(reader).filter(({ shard }) => shard !== held)).toEqual([]),
        );
      }
    }
    for (const reader of [follower, resumed]) {
      const { beats } = reader;
      await eventually('the reader gets two heartbeats', () => expect(reader.beats).toBeGreaterThan(beats + 1));
      expect(reader.upToMs).toBeLessThanOrEqual(awayMs);
    }
  } finally {
    node?.child.kill('SIGCONT');
  }
  const after = await eventually('the events of the shard that was away are stored', () => log.append(held, 3));
  for (const reader of [follower, resumed]) {
    await eventually('the reader has the events from before and after the outage', () =>
      expect(reader.numbers).toEqual(expect.arrayContaining([...before, ...after].map(({ n }) => n))),
    );
    expect(faultsIn(reader.received, log.appended)).toEqual([]);
    expect(reader.gaps).toEqual([]);
    await eventually('the cursor of the reader has passed the outage', () =>
      expect(reader.upToMs).toBeGreaterThan(awayMs + 1),
    );
  }
});

function missing(reader: FeedListener): { shard: number }[] {
  const got = new Set(reader.numbers);
  return log.appended.filter(({ n }) => !got.has(n));
}
