import { connectRedis, type Redis } from '@app/platform';
import { withRedis } from '../../../test/support/redis.js';
import { eventually, quiet, type Server } from '../../../test/support/servers.js';
import { Members, listMembers, type Announcement, type MembershipChange } from './members.js';
import { ShardingKeys } from './sharding-keys.js';

let server: Server;
let redis: Redis;
let keys: ShardingKeys;
let keySpaces = 0;

withRedis((connection, started) => {
  redis = connection;
  server = started;
});

beforeEach(() => {
  keys = new ShardingKeys(`members${keySpaces++}`);
});

const LONG = 60_000;

function about(name: string, more: Partial<Announcement> = {}): Announcement {
  return {
    name,
    since: '2026-11-24T15:00:00.000Z',
    format: 2,
    wants_lanes: 1,
    knows_lanes: 1,
    draining: false,
    fitness: 'fit',
    shards: [],
    lanes: [],
    ...more,
  };
}

function member(name: string, ttlMs = LONG): Members {
  return new Members(redis, keys.cluster, `${name}/boot`, ttlMs);
}

describe('Members.heartbeat', () => {
  it('reports all live members and their announcements', async () => {
    await member('a').heartbeat(about('a', { shards: [1, 3], lanes: [0] }));
    const { members } = await member('b').heartbeat(about('b', { draining: true }));
    expect(members).toEqual([
      { ...about('a', { shards: [1, 3], lanes: [0] }), id: 'a/boot' },
      { ...about('b', { draining: true }), id: 'b/boot' },
    ]);
  });

  it('reports no members if nothing has changed since the last heartbeat, and all of them after a change', async () => {
    const [a, b] = [member('a'), member('b')];
    await a.heartbeat(about('a'));
    await b.heartbeat(about('b'));
    expect((await a.heartbeat(about('a'))).members).toHaveLength(2);
    expect((await a.heartbeat(about('a'))).members).toBeUndefined();
    await b.heartbeat(about('b', { shards: [7] }));
    expect((await a.heartbeat(about('a'))).members?.[1]?.shards).toEqual([7]);
    await b.leave();
    expect((await a.heartbeat(about('a'))).members?.map(({ name }) => name)).toEqual(['a']);
  });

  it('removes members that are overdue, and reports when the next one will be', async () => {
    const a = member('a');
    await member('b', 1).heartbeat(about('b'));
    await member('c', LONG).heartbeat(about('c'));
    await eventually('the overdue member is removed', async () => {
      const { nextOverdueMs } = await a.heartbeat(about('a'));
      expect(nextOverdueMs).toBeGreaterThan(1000);
    });
    expect((await member('d').heartbeat(about('d'))).members?.map(({ name }) => name)).toEqual(['a', 'c', 'd']);
    expect(await redis.hexists(keys.cluster.members, 'b/boot')).toBe(0);
  });

  it('reports no time at which a member will be overdue if there is no other member', async () => {
    expect((await member('a').heartbeat(about('a'))).nextOverdueMs).toBeUndefined();
  });

  it('publishes each change of the members once', async () => {
    const published: string[] = [];
    const subscriber = connectRedis(server.url, { name: 'spec-subscriber', whenAway: 'wait' }, quiet);
    subscriber.on('message', (_channel: string, text: string) => published.push(text));
    await subscriber.subscribe(keys.clusterChannel);
    const a = member('a');
    await a.heartbeat(about('a'));
    await a.heartbeat(about('a'));
    await a.heartbeat(about('a', { lanes: [0] }));
    await a.leave();
    await redis.publish(keys.clusterChannel, 'end');
    await eventually('all messages are received', () => expect(published.at(-1)).toBe('end'));
    expect(published).toHaveLength(4);
    await subscriber.quit();
  });

  it('sets an expiry on each of its keys', async () => {
    await member('a').heartbeat(about('a'));
    const { alive, members, version } = keys.cluster;
    for (const key of [alive, members, version]) expect(await redis.pttl(key)).toBeGreaterThan(LONG);
  });
});

describe('the listener of a member', () => {
  /** What the listeners of these members have got, each by the name of its member. */
  const received: [name: string, change: MembershipChange][] = [];
  const listening = (name: string, ttlMs = LONG): Members =>
    new Members(redis, keys.cluster, `${name}/boot`, ttlMs, (changes) => {
      received.push(...changes.map((change): [string, MembershipChange] => [name, change]));
      return Promise.resolve();
    });

  beforeEach(() => (received.length = 0));

  it('gets that the member has joined, once, and that it has stopped', async () => {
    const a = listening('a');
    await a.heartbeat(about('a'));
    await a.heartbeat(about('a', { shards: [1] }));
    await a.leave();
    expect(received).toEqual([
      ['a', { member: 'a/boot', change: 'joined' }],
      ['a', { member: 'a/boot', change: 'left', reason: 'stopped' }],
    ]);
  });

  it('gets that other members are overdue, once for all members', async () => {
    const [a, b] = [listening('a'), listening('b')];
    await a.heartbeat(about('a'));
    await b.heartbeat(about('b'));
    await listening('gone').heartbeat(about('gone'));
    received.length = 0;
    await redis.zadd(keys.cluster.alive, Date.now() - 1, 'gone/boot');
    await a.heartbeat(about('a'));
    await b.heartbeat(about('b'));
    expect(received).toEqual([['a', { member: 'gone/boot', change: 'left', reason: 'overdue' }]]);
  });

  it('gets that a member has joined again if another one found it to be overdue', async () => {
    const [a, b] = [listening('a'), listening('b')];
    await a.heartbeat(about('a'));
    await redis.zadd(keys.cluster.alive, Date.now() - 1, 'a/boot');
    await b.heartbeat(about('b'));
    await a.heartbeat(about('a'));
    expect(received.at(-1)).toEqual(['a', { member: 'a/boot', change: 'joined' }]);
  });

  it('gets nothing if a member stops that was found to be overdue', async () => {
    const [a, b] = [listening('a'), listening('b')];
    await a.heartbeat(about('a'));
    await redis.zadd(keys.cluster.alive, Date.now() - 1, 'a/boot');
    await b.heartbeat(about('b'));
    received.length = 0;
    await a.leave();
    expect(received).toEqual([]);
  });
});

describe('the members of two groups', () => {
  it('do not know each other, and may announce different things', async () => {
    interface About {
      name: string;
      held: number;
    }
    const dispatcher = (name: string): Members<About> => new Members(redis, keys.dispatchers, `${name}/boot`, LONG);
    await member('a').heartbeat(about('a'));
    await dispatcher('x').heartbeat({ name: 'x', held: 3 });
    const { members } = await dispatcher('y').heartbeat({ name: 'y', held: 4 });
    expect(members?.map(({ id, name, held }) => [id, name, held])).toEqual([
      ['x/boot', 'x', 3],
      ['y/boot', 'y', 4],
    ]);
    expect((await listMembers(redis, keys)).map(({ name }) => name)).toEqual(['a']);
    await dispatcher('x').leave();
    expect((await dispatcher('z').heartbeat({ name: 'z', held: 0 })).members).toHaveLength(2);
    expect((await listMembers(redis, keys)).map(({ name }) => name)).toEqual(['a']);
  });

  it('are told of changes on two channels', () => {
    expect(keys.clusterChannel).toBe(keys.cluster.channel);
    expect(keys.dispatchers.channel).not.toBe(keys.cluster.channel);
  });
});

describe('listMembers', () => {
  it('leaves out members that are overdue but not removed yet', async () => {
    await member('a').heartbeat(about('a'));
    await member('gone').heartbeat(about('gone'));
    expect((await listMembers(redis, keys)).map(({ name }) => name)).toEqual(['a', 'gone']);
    await redis.zadd(keys.cluster.alive, Date.now() - 1, 'gone/boot');
    expect((await listMembers(redis, keys)).map(({ name }) => name)).toEqual(['a']);
    expect(await redis.hexists(keys.cluster.members, 'gone/boot')).toBe(1);
  });

  it('returns nothing if there is no member', async () => {
    expect(await listMembers(redis, keys)).toEqual([]);
  });
});

describe('a member of which Redis has lost a part', () => {
  it('is left out of listMembers if its announcement is missing', async () => {
    await member('a').heartbeat(about('a'));
    await redis.zadd(keys.cluster.alive, Date.now() + LONG, 'half/boot');
    expect((await listMembers(redis, keys)).map(({ id }) => id)).toEqual(['a/boot']);
  });

  it('is removed by the heartbeat of another member if its own heartbeat is missing', async () => {
    await redis.hset(keys.cluster.members, 'ghost/boot', JSON.stringify(about('ghost')));
    const { members } = await member('a').heartbeat(about('a'));
    expect(members?.map(({ id }) => id)).toEqual(['a/boot']);
    expect(await redis.hkeys(keys.cluster.members)).toEqual(['a/boot']);
  });
});
