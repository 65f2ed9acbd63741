import { HASH_VERSION } from '@app/protocol';
import type { Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import {
  FORMAT,
  KeySpaceError,
  KeySpaceWatch,
  claimKeySpace,
  claimLanes,
  forgetLane,
  raiseFormat,
} from './key-space.js';
import { RegistryKeys } from '../keys.js';

let redis: Redis;
let keys: RegistryKeys;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(() => {
  keys = new RegistryKeys(`keyspace${keySpaces++}`);
});

describe("the key space's marker", () => {
  it('is written by the first process, with id, shard count, hash version and format', async () => {
    const marker = await claimKeySpace(redis, keys, 32);
    expect(marker).toMatchObject({ shardCount: 32, hashVersion: HASH_VERSION, format: FORMAT });
    expect(marker.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(await redis.keys(`${keys.prefix}*`)).toEqual([keys.marker]);
  });

  it('is the same for every later process', async () => {
    const first = await claimKeySpace(redis, keys, 32);
    expect(await claimKeySpace(redis, keys, 32)).toEqual(first);
  });

  it('is the same for processes that start together', async () => {
    const markers = await Promise.all(Array.from({ length: 10 }, () => claimKeySpace(redis, keys, 16)));
    expect(new Set(markers.map(({ id }) => id)).size).toBe(1);
  });

  it('differs from that of another prefix', async () => {
    const one = await claimKeySpace(redis, keys, 32);
    const other = await claimKeySpace(redis, new RegistryKeys(`${keys.prefix}-other`), 8);
    expect(other.shardCount).toBe(8);
    expect(other.id).not.toBe(one.id);
  });
});

describe('the watch of the key space', () => {
  it('reports a missing marker once, and nothing when the marker is written again', async () => {
    await claimKeySpace(redis, keys, 32);
    const watch = new KeySpaceWatch(redis, keys);
    expect([await watch.changed(), await watch.changed()]).toEqual([false, false]);
    await redis.del(keys.marker);
    expect([await watch.changed(), await watch.changed()]).toEqual([true, false]);
    await claimKeySpace(redis, keys, 32);
    expect([await watch.changed(), await watch.changed()]).toEqual([false, false]);
  });

  it('reports a replaced marker', async () => {
    await claimKeySpace(redis, keys, 32);
    const watch = new KeySpaceWatch(redis, keys);
    await watch.changed();
    await redis.del(keys.marker);
    await claimKeySpace(redis, keys, 32);
    expect([await watch.changed(), await watch.changed()]).toEqual([true, false]);
  });
});

describe('claiming a key space', () => {
  it('fails for another shard count with an error that names both numbers and the two remedies', async () => {
    const marker = await claimKeySpace(redis, keys, 32);
    const refused = claimKeySpace(redis, keys, 16);
    await expect(refused).rejects.toThrow(KeySpaceError);
    await expect(refused).rejects.toThrow(/SHARD_COUNT is 16.*set up with 32.*SHARD_COUNT=32.*KEY_PREFIX/);
    expect(await claimKeySpace(redis, keys, 32)).toEqual(marker);
  });

  it('fails for another shard hash with an error that names both versions and the two remedies', async () => {
    await claimKeySpace(redis, keys, 32);
    await redis.hset(keys.marker, 'hash', 'md5-0');
    const refused = claimKeySpace(redis, keys, 32);
    await expect(refused).rejects.toThrow(KeySpaceError);
    await expect(refused).rejects.toThrow(new RegExp(`md5-0.*${HASH_VERSION}.*release that wrote it.*KEY_PREFIX`));
  });
});

describe("the key space's format", () => {
  const writtenBy010 = { id: 'e8', shard_count: 32, hash_version: HASH_VERSION };

  it('is 1 if the marker names none, and claiming does not change that', async () => {
    await redis.hset(keys.marker, writtenBy010);
    expect(await claimKeySpace(redis, keys, 32)).toMatchObject({ id: 'e8', format: 1, hashVersion: HASH_VERSION });
    expect(await redis.hgetall(keys.marker)).toEqual({ ...writtenBy010, shard_count: '32' });
  });

  it('is raised once, and keeps the id and the hash', async () => {
    await redis.hset(keys.marker, writtenBy010);
    expect([await raiseFormat(redis, keys), await raiseFormat(redis, keys)]).toEqual([true, false]);
    expect(await claimKeySpace(redis, keys, 32)).toMatchObject({ id: 'e8', format: FORMAT, hashVersion: HASH_VERSION });
  });

  it('is part of the field that release 0.1.0 compares, so that 0.1.0 refuses to start', async () => {
    await claimKeySpace(redis, keys, 32);
    expect(await redis.hget(keys.marker, 'hash_version')).toBe(`${HASH_VERSION} in format ${FORMAT}`);
  });

  it('is refused if it is newer, with an error that names both formats and the remedy', async () => {
    await claimKeySpace(redis, keys, 32);
    await redis.hset(keys.marker, 'format', FORMAT + 1);
    const refused = claimKeySpace(redis, keys, 32);
    await expect(refused).rejects.toThrow(KeySpaceError);
    await expect(refused).rejects.toThrow(
      new RegExp(`format ${FORMAT + 1}.*up to ${FORMAT}.*newer release.*KEY_PREFIX`),
    );
  });

  it('counts as a change of the key space if it becomes newer, but not after a migration to the current one', async () => {
    await redis.hset(keys.marker, writtenBy010);
    const watch = new KeySpaceWatch(redis, keys);
    await watch.changed();
    await raiseFormat(redis, keys);
    expect(await watch.changed()).toBe(false);
    await redis.hset(keys.marker, 'format', FORMAT + 1);
    expect(await watch.changed()).toBe(true);
  });
});

describe('the registered lanes', () => {
  it.each([
    [1, 1, 1],
    [2, 5, 5],
    [4, 2, 4],
  ])('if %i were claimed before and %i are claimed now, %i may have sessions', async (before, now, sessions) => {
    await claimLanes(redis, keys, before);
    expect(await claimLanes(redis, keys, now)).toMatchObject({ sessions });
  });

  it('have no sessions after they were forgotten, in any order', async () => {
    await claimLanes(redis, keys, 4);
    await forgetLane(redis, keys, 2);
    expect(await claimLanes(redis, keys, 2)).toMatchObject({ sessions: 4 });
    await forgetLane(redis, keys, 3);
    expect(await claimLanes(redis, keys, 2)).toMatchObject({ sessions: 2 });
  });
});

describe('the share group', () => {
  it('is a random secret that the first ingester records, and the same for every later one', async () => {
    const noted = await Promise.all(Array.from({ length: 5 }, () => claimLanes(redis, keys, 1)));
    expect(noted[0]?.shareGroup).toMatch(/^cc-[0-9a-f]{24}$/);
    expect(new Set(noted.map(({ shareGroup }) => shareGroup)).size).toBe(1);
  });

  it('is the given one if Redis has lost the recorded one', async () => {
    const { shareGroup } = await claimLanes(redis, keys, 1);
    await redis.del(keys.marker);
    await claimKeySpace(redis, keys, 32);
    expect(await claimLanes(redis, keys, 1, shareGroup)).toMatchObject({ shareGroup });
  });
});
