import { connectRedis, type Redis } from '@app/platform';
import { eventually, quiet, startRedis, type Server } from '../../../test/support/servers.js';
import { FencedCommit } from './fenced-commit.js';
import { Mailboxes } from './mailbox.js';
import { StaleOwnerError, type Grant, type OwnershipListener } from './ownership.js';
import { ShardingKeys, type Resource } from './sharding-keys.js';
import { StaticOwnership } from './static-ownership.js';

let server: Server;
let redis: Redis;
let keys: ShardingKeys;
let keySpaces = 0;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
});

afterAll(async () => {
  await redis.quit();
  await server.stop();
});

beforeEach(() => {
  keys = new ShardingKeys(`ownership${keySpaces++}`);
});

const RESOURCES: readonly Resource[] = [
  { kind: 'lane', index: 0 },
  { kind: 'shard', index: 0 },
  { kind: 'lane', index: 1 },
  { kind: 'shard', index: 1 },
  { kind: 'shard', index: 2 },
];

class Listener implements OwnershipListener {
  readonly granted_: Grant[] = [];
  readonly revoked_: Grant[] = [];

  granted(grant: Grant): Promise<void> {
    this.granted_.push(grant);
    return Promise.resolve();
  }

  revoked(grant: Grant): Promise<void> {
    this.revoked_.push(grant);
    return Promise.resolve();
  }
}

interface Member {
  ownership: StaticOwnership;
  listener: Listener;
}

async function start(resources = RESOURCES): Promise<Member> {
  const listener = new Listener();
  const ownership = new StaticOwnership(redis, keys, resources, quiet);
  await ownership.start(listener);
  return { ownership, listener };
}

function grantOf({ ownership }: Member, kind: Resource['kind'], index: number): Grant {
  const grant = ownership.held().find((one) => one.kind === kind && one.index === index);
  if (grant === undefined) throw new Error(`${kind} ${index} is not held`);
  return grant;
}

describe('static ownership', () => {
  it('takes every shard before any lane, so that what is taken in finds an owner', async () => {
    const { listener, ownership } = await start();
    expect(listener.granted_.map(({ kind }) => kind)).toEqual(['shard', 'shard', 'shard', 'lane', 'lane']);
    expect(new Set(listener.granted_.map(({ kind, index }) => `${kind} ${index}`)).size).toBe(RESOURCES.length);
    expect(ownership.held()).toEqual(listener.granted_);
  });

  it('waits for the listener before it takes the next one', async () => {
    const order: string[] = [];
    const ownership = new StaticOwnership(redis, keys, RESOURCES, quiet);
    await ownership.start({
      granted: async ({ kind, index }) => {
        order.push(`begin ${kind} ${index}`);
        await redis.ping();
        order.push(`end ${kind} ${index}`);
      },
      revoked: () => Promise.resolve(),
    });
    expect(order).toHaveLength(2 * RESOURCES.length);
    for (let i = 0; i < order.length; i += 2) expect(order[i + 1]).toBe(order[i]?.replace('begin', 'end'));
  });

  it('gives each start a higher epoch, for shards and for lanes', async () => {
    const epochs: number[][] = [];
    for (let i = 0; i < 3; i++) epochs.push((await start()).ownership.held().map(({ epoch }) => epoch));
    expect(epochs).toEqual([RESOURCES.map(() => 1), RESOURCES.map(() => 2), RESOURCES.map(() => 3)]);
  });

  it('raises the epoch after a clean stop as well', async () => {
    const first = await start();
    await first.ownership.stop();
    const second = await start();
    expect(grantOf(second, 'shard', 0).epoch).toBe(2);
  });

  it('carries epoch and boot in the fence, so that no two members ever share one', async () => {
    const [one, other] = [await start(), await start()];
    const fences = [one, other].map((member) => grantOf(member, 'shard', 0).fence);
    expect(fences[0]).toMatch(/^1:.+/);
    expect(fences[1]).toMatch(/^2:.+/);
    expect(fences[0]?.slice(2)).not.toBe(fences[1]?.slice(2));
    expect(await redis.get(keys.owner({ kind: 'shard', index: 0 }))).toBe(fences[1]);
  });

  it("makes the first one's commits stale when a second one starts", async () => {
    const commits = new FencedCommit(redis, keys);
    const [one, other] = [await start(), await start()];
    await expect(commits.commit(grantOf(one, 'shard', 1), '0-0', '1-0', [])).rejects.toThrow(StaleOwnerError);
    await expect(commits.commit(grantOf(other, 'shard', 1), '0-0', '1-0', [])).resolves.toMatchObject({
      kind: 'committed',
    });
  });

  it("makes the first one's appends stale once the second one has announced its lane", async () => {
    const mailboxes = new Mailboxes(redis, keys, 10);
    const [one, other] = [await start(), await start()];
    await mailboxes.announce(grantOf(other, 'lane', 0), 3);
    const batch = new Map([[1, [{ clientId: 'c', meta: 'm', body: 'b' }]]]);
    await expect(mailboxes.append(grantOf(one, 'lane', 0), 1, batch)).rejects.toThrow(StaleOwnerError);
    await expect(mailboxes.append(grantOf(other, 'lane', 0), 1, batch)).resolves.toEqual(new Map([[1, 'appended']]));
  });

  it('releases what is still its own and nothing of another', async () => {
    const one = await start();
    const other = await start(RESOURCES.filter(({ index }) => index === 0));
    await one.ownership.stop();
    expect(await redis.get(keys.owner({ kind: 'shard', index: 0 }))).toBe(grantOf(other, 'shard', 0).fence);
    expect(await redis.get(keys.owner({ kind: 'lane', index: 0 }))).toBe(grantOf(other, 'lane', 0).fence);
    expect(await redis.exists(keys.owner({ kind: 'shard', index: 1 }), keys.owner({ kind: 'lane', index: 1 }))).toBe(0);
    expect(one.ownership.held()).toEqual([]);
  });

  it('no longer holds a grant that was lost, and revokes it once', async () => {
    const member = await start();
    const grant = grantOf(member, 'shard', 1);
    member.ownership.lost(grant);
    member.ownership.lost(grant);
    await eventually(() => expect(member.listener.revoked_).toEqual([grant]));
    expect(member.ownership.held()).toHaveLength(RESOURCES.length - 1);
    expect(member.ownership.held()).not.toContain(grant);
  });

  it('confirms what still holds, and loses what does not', async () => {
    const member = await start();
    const [kept, taken] = [grantOf(member, 'shard', 0), grantOf(member, 'shard', 1)];
    await start([{ kind: 'shard', index: 1 }]);
    expect(await member.ownership.confirm(kept)).toBe(true);
    expect(await member.ownership.confirm(taken)).toBe(false);
    await eventually(() => expect(member.listener.revoked_).toEqual([taken]));
    expect(member.ownership.held()).toContain(kept);
    expect(member.ownership.held()).not.toContain(taken);
  });

  it('does not take back what another one has taken over', async () => {
    const one = await start();
    const other = await start();
    const grant = grantOf(one, 'shard', 1);
    one.ownership.lost(grant);
    await eventually(() => expect(one.listener.revoked_).toEqual([grant]));
    // Giving up asks Redis once more; what was asked after it is answered after it.
    await redis.ping();
    expect(await redis.get(keys.owner(grant))).toBe(grantOf(other, 'shard', 1).fence);
    expect(one.listener.granted_.filter(({ index, kind }) => kind === 'shard' && index === 1)).toEqual([grant]);
  });

  it('takes anew what Redis has lost, with a higher epoch, after it has stopped acting', async () => {
    const member = await start();
    const grant = grantOf(member, 'shard', 1);
    await redis.del(keys.owner(grant));
    expect(await member.ownership.confirm(grant)).toBe(false);
    const next = await eventually(() => grantOf(member, 'shard', 1));
    expect(next.epoch).toBeGreaterThan(grant.epoch);
    expect(await redis.get(keys.owner(grant))).toBe(next.fence);
    await eventually(() => expect(member.listener.granted_.at(-1)).toBe(next));
    expect(member.listener.revoked_).toEqual([grant]);
  });

  it('ignores the loss of a grant it has replaced since', async () => {
    const member = await start();
    const old = grantOf(member, 'shard', 1);
    member.ownership.lost({ ...old, epoch: 0, fence: '0:before' });
    expect(member.ownership.held()).toContain(old);
    expect(member.listener.revoked_).toEqual([]);
  });

  it('survives a listener that fails to stop', async () => {
    let asked = 0;
    const ownership = new StaticOwnership(redis, keys, RESOURCES, quiet);
    await ownership.start({
      granted: () => Promise.resolve(),
      revoked: () => {
        asked++;
        return Promise.reject(new Error('cannot stop'));
      },
    });
    const [grant] = ownership.held();
    if (grant !== undefined) ownership.lost(grant);
    await eventually(() => expect(asked).toBe(1));
    await ownership.stop();
    expect(ownership.held()).toEqual([]);
  });
});
