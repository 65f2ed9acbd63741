import { HASH_VERSION } from '@app/protocol';
import type { Redis } from '@app/platform';
import { Leases, Members, StaleOwnerError, type Announcement, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, quiet } from '../../../../test/support/servers.js';
import { FORMAT, claimKeySpace } from './key-space.js';
import { RegistryKeys } from '../keys.js';
import { KeySpaceOpening, Migration, keySpaceCheck } from './migration.js';
import type { MigrationStep } from './migration-step.js';

const SHARDS = 3;
let redis: Redis;
let keys: RegistryKeys;
let keySpaces = 0;
let done: string[];

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  keys = new RegistryKeys(`migration${keySpaces++}`);
  done = [];
  await redis.hset(keys.marker, { id: 'e8', shard_count: SHARDS, hash_version: HASH_VERSION });
});

function step(name: string, to = FORMAT): MigrationStep {
  return {
    to,
    what: name,
    run: (_redis, _keys, { index }) => {
      done.push(`${name} ${index}`);
      return Promise.resolve();
    },
  };
}

function migration(...steps: MigrationStep[]): Migration {
  return new Migration({ redis, keys, shardCount: SHARDS, logger: quiet, steps });
}

async function acquire(index: number): Promise<Grant> {
  const outcome = await new Leases(redis, keys, `boot${index}`, 60_000).acquire({ kind: 'shard', index });
  if (outcome.kind !== 'acquired') throw new Error('not acquired');
  return outcome.grant;
}

async function format(): Promise<number> {
  return (await claimKeySpace(redis, keys, SHARDS)).format;
}

describe('a migration', () => {
  it('runs the steps of each shard once and in order, and raises the format with the last shard', async () => {
    const both = migration(step('a'), step('b'));
    for (const index of [0, 2]) await both.migrate(await acquire(index), 1);
    expect(await format()).toBe(1);
    const last = await acquire(1);
    await both.migrate(last, 1);
    expect(await format()).toBe(FORMAT);
    await both.migrate(last, 1);
    expect(done).toEqual(['a 0', 'b 0', 'a 2', 'b 2', 'a 1', 'b 1']);
  });

  it('changes nothing in a key space of the current format, and runs no steps of other formats', async () => {
    const grant = await acquire(0);
    await migration(step('a')).migrate(grant, FORMAT);
    await migration(step('old', 1), step('unknown', FORMAT + 1)).migrate(grant, 1);
    expect(done).toEqual([]);
  });

  it('repeats the steps of a shard whose migration was interrupted', async () => {
    const broken: MigrationStep = { to: FORMAT, what: 'broken', run: () => Promise.reject(new Error('killed')) };
    const grant = await acquire(0);
    await expect(migration(step('a'), broken).migrate(grant, 1)).rejects.toThrow('killed');
    await migration(step('a')).migrate(grant, 1);
    expect(done).toEqual(['a 0', 'a 0']);
  });

  it('is not recorded if the owner has lost the shard', async () => {
    const grant = await acquire(0);
    await redis.set(keys.owner(grant), 'another');
    await expect(migration().migrate(grant, 1)).rejects.toThrow(StaleOwnerError);
    expect(await redis.get(keys.format(0))).toBeNull();
  });
});

describe('waiting for older members', () => {
  /** The announcement of release 0.1.0, without a format. */
  const of010 = { name: 'old' } as Announcement;

  it('ends when the last member of an older release has left', async () => {
    const old = new Members(redis, keys.cluster, 'old/1', 60_000);
    await old.heartbeat(of010);
    let ended = false;
    const waiting = migration()
      .untilOlderMembersAreGone(new AbortController().signal)
      .then(() => (ended = true));
    expect(ended).toBe(false);
    await old.leave();
    await waiting;
    expect(ended).toBe(true);
  });

  it('ends at once if all members have the current format', async () => {
    await new Members(redis, keys.cluster, 'new/1', 60_000).heartbeat({ ...of010, format: FORMAT });
    await migration().untilOlderMembersAreGone(AbortSignal.abort());
    expect(await redis.zcard(keys.cluster.alive)).toBe(1);
  });

  it('ends when it is aborted', async () => {
    await new Members(redis, keys.cluster, 'old/1', 60_000).heartbeat(of010);
    const stopping = new AbortController();
    const waiting = migration().untilOlderMembersAreGone(stopping.signal);
    stopping.abort();
    await expect(waiting).rejects.toThrow('aborted');
  });
});

describe('a process that does not migrate', () => {
  it('waits until the key space has the current format', async () => {
    const opening = new KeySpaceOpening();
    const readiness = keySpaceCheck(opening);
    expect(await readiness.check()).toEqual({ down: 'the key space has not been read yet' });
    const opened = opening.open(redis, keys, SHARDS, quiet, new AbortController().signal);
    await eventually('its readiness says what it waits for', async () =>
      expect(await readiness.check()).toEqual({ down: expect.stringContaining('an older release') as string }),
    );
    for (let index = 0; index < SHARDS; index++) await migration().migrate(await acquire(index), 1);
    expect((await opened).format).toBe(FORMAT);
    expect(await readiness.check()).toBe('up');
  });

  it('stops waiting when it is aborted', async () => {
    const stopping = new AbortController();
    const opened = new KeySpaceOpening().open(redis, keys, SHARDS, quiet, stopping.signal);
    const failure = expect(opened).rejects.toThrow('aborted');
    await eventually('the key space has its marker', async () => expect(await redis.exists(keys.marker)).toBe(1));
    stopping.abort();
    await failure;
  });
});
