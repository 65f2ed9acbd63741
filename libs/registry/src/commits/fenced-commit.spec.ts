import type { Redis as RedisServer } from 'ioredis';
import type { Redis } from '@app/platform';
import { PositionError, StaleOwnerError, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { RegistryKeys } from '../keys.js';
import { FencedCommit, MAX_WRITE_ARGS } from './fenced-commit.js';

let redis: Redis;
let keys: RegistryKeys;
let commits: FencedCommit;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(() => {
  keys = new RegistryKeys(`commit${keySpaces++}`);
  commits = new FencedCommit(redis, keys);
});

const SHARD = 3;

async function own(epoch: number, boot = 'boot'): Promise<Grant> {
  const grant: Grant = { kind: 'shard', index: SHARD, epoch, fence: `${epoch}:${boot}` };
  await redis.set(keys.owner(grant), grant.fence);
  return grant;
}

async function fill(...ids: string[]): Promise<void> {
  for (const id of ids) await redis.xadd(keys.mailbox(SHARD), id, 'client', 'c', 'meta', 'm', 'body', id);
}

async function waiting(): Promise<string[]> {
  const entries = await redis.xrange(keys.mailbox(SHARD), '-', '+');
  return entries.map(([id]) => id);
}

const key = (name: string): string => `${keys.shard(SHARD)}:${name}`;

describe('a commit by the owner of the shard', () => {
  it('applies its writes, advances the position and trims the mailbox', async () => {
    const grant = await own(1);
    await fill('5-0', '5-1', '6-0');
    const outcome = await commits.commit(grant, '0-0', '5-1', [
      { command: ['SET', key('a'), 'x'] },
      { command: ['HSET', key('h'), 'f', 1, 'g', 2] },
    ]);
    expect(outcome).toEqual({ kind: 'committed', guarded: [], reports: [] });
    expect(await redis.get(key('a'))).toBe('x');
    expect(await redis.hgetall(key('h'))).toEqual({ f: '1', g: '2' });
    expect(await commits.position(SHARD)).toBe('5-1');
    expect(await waiting()).toEqual(['6-0']);
  });

  it('is sent before other sockets are read', async () => {
    const { stream } = redis as RedisServer;
    const grant = await own(1);
    const committed = commits.commit(grant, '0-0', '5-1', []);
    expect(stream.writableCorked).toBe(1);
    await new Promise<void>((resolve) => process.nextTick(resolve));
    expect(stream.writableCorked).toBe(0);
    await committed;
  });

  it('keeps exactly the entries after it, also if the number in the id is large', async () => {
    const grant = await own(1);
    await fill('5-9007199254740993', '5-9007199254740994');
    await commits.commit(grant, '0-0', '5-9007199254740993', []);
    expect(await waiting()).toEqual(['5-9007199254740994']);
  });

  it('starts from position 0-0 if there was none before', async () => {
    expect(await commits.position(SHARD)).toBe('0-0');
  });

  it('applies the writes of one commit in their order', async () => {
    const grant = await own(1);
    await commits.commit(grant, '0-0', '1-0', [
      { command: ['RPUSH', key('list'), 'a'] },
      { command: ['RPUSH', key('list'), 'b', 'c'] },
      { command: ['LPOP', key('list')] },
    ]);
    expect(await redis.lrange(key('list'), 0, -1)).toEqual(['b', 'c']);
  });

  it('changes neither position nor mailbox if it does not advance', async () => {
    const grant = await own(1);
    await fill('5-0');
    const outcome = await commits.commit(grant, '0-0', '0-0', [{ command: ['SET', key('a'), 'x'] }]);
    expect(outcome).toEqual({ kind: 'committed', guarded: [], reports: [] });
    expect(await redis.get(key('a'))).toBe('x');
    expect(await waiting()).toEqual(['5-0']);
    expect(await redis.exists(keys.position(SHARD))).toBe(0);
  });

  it('does a guarded write only if its key exists, and reports which writes were done', async () => {
    const grant = await own(1);
    await redis.set(key('there'), '1');
    const outcome = await commits.commit(grant, '0-0', '1-0', [
      { command: ['RPUSH', key('done'), 'first'], ifExists: key('there') },
      { command: ['RPUSH', key('done'), 'unguarded'] },
      { command: ['RPUSH', key('done'), 'second'], ifExists: key('not-there') },
      { command: ['DEL', key('there')] },
      { command: ['RPUSH', key('done'), 'third'], ifExists: key('there') },
    ]);
    expect(outcome).toEqual({ kind: 'committed', guarded: [true, false, false], reports: [] });
    expect(await redis.lrange(key('done'), 0, -1)).toEqual(['first', 'unguarded']);
  });

  it('does a command for each member whose own key exists, and reports it for each, in order', async () => {
    const grant = await own(1);
    await redis.set(key('of:b'), '1');
    await redis.set(key('of:d'), '1');
    const about = { command: ['ZADD', key('found'), 7], ifExistsPrefix: key('of:') };
    const outcome = await commits.commit(grant, '0-0', '1-0', [
      { ...about, members: ['a', 'b', 'c', 'd'] },
      { ...about, members: ['e'] },
      { command: ['SET', key('after'), 'x'], ifExists: key('of:b') },
    ]);
    expect(outcome).toEqual({ kind: 'committed', guarded: [false, true, false, true, false, true], reports: [] });
    expect(await redis.zrange(key('found'), '0', '-1', 'WITHSCORES')).toEqual(['b', '7', 'd', '7']);
    expect(await redis.get(key('after'))).toBe('x');
  });

  it('accepts a command for the most members that are allowed, and refuses more', async () => {
    const grant = await own(1);
    const members = Array.from({ length: MAX_WRITE_ARGS }, (_, i) => `m${i}`);
    await redis.mset(...members.flatMap((member) => [key(member), '1']));
    const write = { command: ['SADD', key('set')], ifExistsPrefix: key('') };
    await commits.commit(grant, '0-0', '1-0', [{ ...write, members }]);
    expect(await redis.scard(key('set'))).toBe(members.length);
    const more = commits.commit(grant, '1-0', '2-0', [{ ...write, members: [...members, 'more'] }]);
    await expect(more).rejects.toThrow(RangeError);
  });

  it('accepts a write with the most arguments that are allowed', async () => {
    const grant = await own(1);
    const members = Array.from({ length: MAX_WRITE_ARGS - 2 }, (_, i) => `m${i}`);
    await commits.commit(grant, '0-0', '1-0', [{ command: ['SADD', key('set'), ...members] }]);
    expect(await redis.scard(key('set'))).toBe(members.length);
  });

  it('refuses a write with more arguments before anything is sent', async () => {
    const grant = await own(1);
    const members = Array.from({ length: MAX_WRITE_ARGS - 1 }, (_, i) => `m${i}`);
    const commit = commits.commit(grant, '0-0', '1-0', [
      { command: ['SET', key('a'), 'x'] },
      { command: ['SADD', key('set'), ...members] },
    ]);
    await expect(commit).rejects.toThrow(RangeError);
    expect(await redis.exists(key('a'), key('set'), keys.position(SHARD))).toBe(0);
  });
});

describe('a commit by a former owner', () => {
  it.each(['a newer epoch', 'the same epoch of another boot', 'nobody'])(
    'is refused if the owner is %s, and changes nothing',
    async (owner) => {
      const stale = await own(1, 'mine');
      await fill('5-0');
      if (owner === 'a newer epoch') await own(2, 'mine');
      else if (owner === 'nobody') await redis.del(keys.owner(stale));
      else await own(1, 'another');
      const commit = commits.commit(stale, '0-0', '5-0', [{ command: ['SET', key('a'), 'x'] }]);
      await expect(commit).rejects.toThrow(StaleOwnerError);
      await expect(commit).rejects.toMatchObject({ grant: stale });
      expect(await redis.exists(key('a'), keys.position(SHARD))).toBe(0);
      expect(await waiting()).toEqual(['5-0']);
    },
  );

  it('is refused as stale even if it repeats an earlier commit', async () => {
    const stale = await own(1);
    await commits.commit(stale, '0-0', '5-0', []);
    await own(2);
    await expect(commits.commit(stale, '0-0', '5-0', [])).rejects.toThrow(StaleOwnerError);
  });
});

describe('a commit that does not start from the position of the shard', () => {
  it('is reported as repeated if an earlier attempt was applied, and is not applied twice', async () => {
    const grant = await own(1);
    const writes = [{ command: ['INCR', key('count')] }];
    await commits.commit(grant, '0-0', '5-0', writes);
    expect(await commits.commit(grant, '0-0', '5-0', writes)).toEqual({ kind: 'repeated' });
    expect(await redis.get(key('count'))).toBe('1');
  });

  it.each([
    ['0-0', '6-0'],
    ['4-0', '6-0'],
    ['6-0', '7-0'],
  ])('is refused with PositionError from %s to %s if the shard is at position 5-0', async (from, to) => {
    const grant = await own(1);
    await commits.commit(grant, '0-0', '5-0', []);
    await fill('6-0', '7-0');
    const commit = commits.commit(grant, from, to, [{ command: ['SET', key('a'), 'x'] }]);
    await expect(commit).rejects.toThrow(PositionError);
    await expect(commit).rejects.toThrow('shard 3 is at position 5-0, not at');
    expect(await redis.exists(key('a'))).toBe(0);
    expect(await commits.position(SHARD)).toBe('5-0');
    expect(await waiting()).toEqual(['6-0', '7-0']);
  });

  it('is refused even if it does not advance', async () => {
    const grant = await own(1);
    await commits.commit(grant, '0-0', '5-0', []);
    await expect(commits.commit(grant, '4-0', '4-0', [{ command: ['SET', key('a'), 'x'] }])).rejects.toThrow(
      PositionError,
    );
    expect(await redis.exists(key('a'))).toBe(0);
  });
});
