import { register } from 'prom-client';
import { connectRedis, type Redis } from '@app/platform';
import { withRedis } from '../../../test/support/redis.js';
import { eventually, gate, quiet, type Server } from '../../../test/support/servers.js';
import { LeaseTiming } from './lease-timing.js';
import { LeasedOwnership, type LeasedOwnershipOptions } from './leased-ownership.js';
import { Leases } from './leases.js';
import { Members, listMembers } from './members.js';
import type { Grant, OwnershipListener } from './ownership.js';
import { ShardingKeys, nameOf } from './sharding-keys.js';

const SHARDS = 6;
const LANES = 1;
const ALL = SHARDS + LANES;
const LONG_MS = 60_000;

let server: Server;
let redis: Redis;
let keys: ShardingKeys;
let keySpaces = 0;
let members: Member[] = [];

withRedis((connection, started) => {
  redis = connection;
  server = started;
});

beforeEach(() => {
  keys = new ShardingKeys(`ownership${keySpaces++}`);
});

afterEach(async () => {
  await Promise.all(members.map((one) => one.end()));
  members = [];
});

/** A member of the cluster whose listener records its calls. */
class Member implements OwnershipListener {
  readonly ownership: LeasedOwnership;
  readonly leases: Leases;
  readonly acting = new Map<string, Grant>();
  readonly events: string[] = [];
  dataLosses = 0;
  private readonly subscriber: Redis;

  constructor(
    readonly boot: string,
    leaseMs = LONG_MS,
    more: Partial<LeasedOwnershipOptions> = {},
  ) {
    this.subscriber = connectRedis(server.url, { name: `spec-${boot}`, whenAway: 'wait' }, quiet);
    const timing = new LeaseTiming(leaseMs, 10);
    this.leases = new Leases(redis, keys, boot, leaseMs);
    this.ownership = new LeasedOwnership({
      members: new Members(redis, keys.cluster, `spec/${boot}`, leaseMs),
      leases: this.leases,
      timing,
      keys,
      subscriber: this.subscriber,
      dataLossDetectors: [],
      reachesBroker: () => true,
      about: { name: 'spec', wants_lanes: LANES, format: 1 },
      shardCount: SHARDS,
      logger: quiet,
      ...more,
    });
    members.push(this);
  }

  async start(): Promise<this> {
    await this.ownership.start(this, LANES);
    return this;
  }

  async end(): Promise<void> {
    await this.ownership.stop();
    this.subscriber.disconnect();
  }

  granted(grant: Grant): Promise<void> {
    if (this.acting.has(nameOf(grant))) throw new Error(`${nameOf(grant)} was granted twice`);
    this.acting.set(nameOf(grant), grant);
    this.events.push(`granted ${nameOf(grant)}`);
    return Promise.resolve();
  }

  revoked(grant: Grant): Promise<void> {
    if (this.acting.get(nameOf(grant)) === grant) this.acting.delete(nameOf(grant));
    this.events.push(`revoked ${nameOf(grant)}`);
    return Promise.resolve();
  }

  laneCountChanged(): void {
    // No test looks at it.
  }

  possibleDataLoss(): void {
    this.dataLosses++;
  }

  async untilActing(count: number): Promise<Grant[]> {
    await eventually(`the member acts for ${count} shards and lanes`, () => {
      expect(this.acting.size).toBe(count);
      expect(this.ownership.notReadyReason()).toBeUndefined();
    });
    return [...this.acting.values()];
  }

  grantOf(name: string): Grant {
    const grant = this.acting.get(name);
    if (grant === undefined) throw new Error(`${name} is not held by ${this.boot}`);
    return grant;
  }
}

async function refusals(): Promise<number> {
  const metric = await register.getSingleMetric('cloud_connector_fencing_refusals_total')?.get();
  return (metric?.values ?? []).reduce((sum, { value }) => sum + value, 0);
}

const isLeased = async (grant: Grant): Promise<boolean> => (await redis.get(keys.owner(grant))) === grant.fence;

describe('LeasedOwnership', () => {
  it('takes everything if it is alone, and shares with a member that joins without waiting for a lease to expire', async () => {
    const first = await new Member('a').start();
    await first.untilActing(ALL);
    const second = await new Member('b').start();
    const [ofFirst, ofSecond] = [await first.untilActing(4), await second.untilActing(3)];
    expect(new Set([...ofFirst, ...ofSecond].map(nameOf)).size).toBe(ALL);
    expect(await Promise.all([...ofFirst, ...ofSecond].map(isLeased))).not.toContain(false);
  });

  it('releases everything at its stop, once, and is no member any more', async () => {
    const [first, second] = [await new Member('a').start(), await new Member('b').start()];
    await first.untilActing(4);
    await second.untilActing(3);
    await first.ownership.stop();
    expect(first.acting.size).toBe(0);
    const revoked = first.events.filter((event) => event.startsWith('revoked'));
    expect(new Set(revoked).size).toBe(revoked.length);
    await second.untilActing(ALL);
    expect((await listMembers(redis, keys)).map(({ id }) => id)).toEqual(['spec/b']);
  });

  it('releases a shard that it is taking at its stop only after the listener has finished', async () => {
    const taking = gate();
    const member = new Member('a');
    const granted = jest.spyOn(member, 'granted').mockImplementation((grant) => {
      member.acting.set(nameOf(grant), grant);
      return nameOf(grant) === 'shard 0' ? taking.passed : Promise.resolve();
    });
    await member.start();
    await eventually('everything is granted', () => expect(granted).toHaveBeenCalledTimes(ALL));
    const grant = member.grantOf('shard 0');
    const stopped = member.ownership.stop();
    await eventually('everything else is revoked', () => expect(member.acting.size).toBe(1));
    expect(member.events).not.toContain('revoked shard 0');
    expect(await isLeased(grant)).toBe(true);
    taking.open();
    await stopped;
    expect(member.events).toContain('revoked shard 0');
    expect(await isLeased(grant)).toBe(false);
  });

  it('stops acting by its own clock if renewals fail, while the lease is still valid in Redis', async () => {
    const leases = new Leases(redis, keys, 'a', LONG_MS);
    const member = await new Member('a', 600, { leases }).start();
    const grants = await member.untilActing(ALL);
    const leased: Promise<boolean>[] = [];
    jest.spyOn(member, 'revoked').mockImplementation((grant) => {
      leased.push(isLeased(grant));
      member.acting.delete(nameOf(grant));
      return Promise.resolve();
    });
    const renew = jest
      .spyOn(leases, 'renew')
      .mockImplementation((due) => due.map(() => Promise.reject(new Error('no answer'))));
    await eventually('everything is revoked', () => expect(leased.length).toBeGreaterThanOrEqual(ALL));
    expect(grants.map((grant) => member.ownership.mayAct(grant))).not.toContain(true);
    expect(await Promise.all(leased.slice(0, ALL))).not.toContain(false);
    expect(member.dataLosses).toBe(0);
    renew.mockRestore();
    await member.untilActing(ALL);
  });

  it('loses one lease only if the keys of one shard cannot be read', async () => {
    const member = await new Member('a', 600).start();
    await member.untilActing(ALL);
    await redis.set(keys.log(2), 'no hash');
    await eventually('the shard is revoked', () => expect(member.events).toContain('revoked shard 2'));
    expect(member.events.filter((event) => event.startsWith('revoked'))).toEqual(['revoked shard 2']);
    await redis.del(keys.log(2));
    await member.untilActing(ALL);
  });

  it('leaves everything to a fit member if a part of Redis does not answer for long, and gets its share back later', async () => {
    let answers = true;
    const failing = await new Member('a', 400, {
      dataLossDetectors: [() => (answers ? Promise.resolve(false) : Promise.reject(new Error('no answer')))],
    }).start();
    await failing.untilActing(ALL);
    const healthy = await new Member('b', 400).start();
    await eventually('the second member has its share', () => expect(healthy.acting.size).toBe(3));
    answers = false;
    await healthy.untilActing(ALL);
    expect(failing.acting.size).toBe(0);
    answers = true;
    await eventually('the first member has its share again', () =>
      expect(failing.acting.size).toBeGreaterThanOrEqual(3),
    );
  });

  it('renews no lease while its heartbeats fail, so that other members can take over', async () => {
    const membership = new Members(redis, keys.cluster, 'spec/a', 400);
    const silent = await new Member('a', 400, { members: membership }).start();
    await silent.untilActing(ALL);
    const heartbeat = jest.spyOn(membership, 'heartbeat').mockRejectedValue(new Error('no answer'));
    const other = await new Member('b', 400).start();
    await other.untilActing(ALL);
    expect(silent.acting.size).toBe(0);
    heartbeat.mockRestore();
    await eventually('the member has its share again', () => expect(silent.acting.size).toBe(3));
  });

  it('leaves to others what its listener does not finish within a lease time', async () => {
    const stuck = gate();
    const busy = new Member('a', 400);
    busy.revoked = () => stuck.passed;
    await busy.start();
    await busy.untilActing(ALL);
    const other = await new Member('b', 400).start();
    await other.untilActing(3);
    stuck.open();
  });

  it('waits longer after each failure to take a shard, even if the members change their announcements', async () => {
    const member = new Member('a');
    const tries: number[] = [];
    jest.spyOn(member, 'granted').mockImplementation((grant) => {
      if (nameOf(grant) !== 'shard 3') return Promise.resolve();
      tries.push(performance.now());
      return Promise.reject(new Error('cannot be taken'));
    });
    await member.start();
    await eventually('the shard has been tried five times', () => expect(tries.length).toBeGreaterThanOrEqual(5));
    // The waits are at least half of 50, 100, 200 and 400 ms.
    expect((tries[4] ?? 0) - (tries[0] ?? 0)).toBeGreaterThanOrEqual(375);
    expect(member.ownership.notReadyReason()).toContain('not taken yet');
  });
});

describe('possible data loss', () => {
  /** The loss was reported once, and each lease was acquired again with a higher epoch. */
  async function untilReacquired(member: Member, before: readonly Grant[]): Promise<void> {
    await eventually('a possible data loss is reported', () => expect(member.dataLosses).toBe(1));
    const after = await member.untilActing(ALL);
    for (const grant of before) {
      const now = after.find((one) => nameOf(one) === nameOf(grant));
      expect(now?.epoch).toBeGreaterThan(grant.epoch);
    }
    expect(member.dataLosses).toBe(1);
  }

  it('is reported if a lease is gone before it can have expired: all leases are given up and acquired again', async () => {
    const member = await new Member('a', 2000).start();
    const before = await member.untilActing(ALL);
    await redis.del(keys.owner({ kind: 'shard', index: 2 }));
    await untilReacquired(member, before);
  });

  it('is reported if a write is refused although nobody can have taken the lease', async () => {
    const member = await new Member('a').start();
    const before = await member.untilActing(ALL);
    member.ownership.lost(member.grantOf('lane 0'));
    await untilReacquired(member, before);
  });

  it('is not reported for a late write to a shard that is being released', async () => {
    const member = await new Member('a').start();
    await member.untilActing(ALL);
    const grant = member.grantOf('shard 5');
    const release = member.leases.release.bind(member.leases);
    jest.spyOn(member.leases, 'release').mockImplementation(async (one) => {
      const status = await release(one);
      // The refusal of the write arrives before the reply to the release.
      if (one === grant) member.ownership.lost(one);
      return status;
    });
    const second = await new Member('b').start();
    await second.untilActing(3);
    await member.untilActing(4);
    await redis.publish(keys.clusterChannel, 'run a round');
    await second.ownership.stop();
    await member.untilActing(ALL);
    expect(member.dataLosses).toBe(0);
  });

  it('is reported if one detector reports it, even if another detector fails', async () => {
    let lost = false;
    const member = await new Member('a', LONG_MS, {
      dataLossDetectors: [
        () => {
          const answer = lost;
          lost = false;
          return Promise.resolve(answer);
        },
        () => (lost ? Promise.reject(new Error('no answer')) : Promise.resolve(false)),
      ],
    }).start();
    const before = await member.untilActing(ALL);
    lost = true;
    await redis.publish(keys.clusterChannel, 'run a round');
    await untilReacquired(member, before);
  });
});

it('a lease that is overdue by its own clock does not count as a refused write', async () => {
  const member = await new Member('a').start();
  await member.untilActing(ALL);
  const before = await refusals();
  member.ownership.lost(member.grantOf('shard 0'), 'overdue');
  await eventually('the shard is revoked', () => expect(member.events).toContain('revoked shard 0'));
  expect(await refusals()).toBe(before);
  await member.untilActing(ALL);
  expect(member.dataLosses).toBe(0);
  member.ownership.lost(member.grantOf('shard 1'));
  expect(await refusals()).toBe(before + 1);
});

it('a lane that has no session any more is given up', async () => {
  let sessions = LANES + 2;
  const member = await new Member('a', LONG_MS, { knownLanes: () => sessions }).start();
  await eventually('the member acts for all lanes', () => expect(member.acting.size).toBe(ALL + 2));
  sessions = LANES;
  // A change of the members triggers a round, as the next renewal would.
  const other = await new Member('b', LONG_MS, { knownLanes: () => sessions }).start();
  await eventually('only the wanted lane is owned', () => {
    const lanes = [...member.acting.keys(), ...other.acting.keys()].filter((name) => name.startsWith('lane'));
    expect(lanes).toEqual(['lane 0']);
  });
});
