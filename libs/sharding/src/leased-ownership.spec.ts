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

/** A process that takes part: notes what it is told. */
class Member implements OwnershipListener {
  readonly ownership: LeasedOwnership;
  readonly leases: Leases;
  readonly acting = new Map<string, Grant>();
  readonly events: string[] = [];
  doubts = 0;
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
      members: new Members(redis, keys, `spec/${boot}`, leaseMs),
      leases: this.leases,
      timing,
      keys,
      subscriber: this.subscriber,
      dataLossDetectors: [],
      isDegraded: () => false,
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

  lanesWanted(): void {
    // Not looked at here.
  }

  possibleDataLoss(): void {
    this.doubts++;
  }

  async untilActing(count: number): Promise<Grant[]> {
    await eventually(() => {
      expect(this.acting.size).toBe(count);
      expect(this.ownership.trouble()).toBeUndefined();
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

const isStanding = async (grant: Grant): Promise<boolean> => (await redis.get(keys.owner(grant))) === grant.fence;

describe('a member', () => {
  it('takes everything where it is alone, and shares with one that joins without waiting for a lease to run out', async () => {
    const first = await new Member('a').start();
    await first.untilActing(ALL);
    const second = await new Member('b').start();
    const [ofFirst, ofSecond] = [await first.untilActing(4), await second.untilActing(3)];
    expect(new Set([...ofFirst, ...ofSecond].map(nameOf)).size).toBe(ALL);
    expect(await Promise.all([...ofFirst, ...ofSecond].map(isStanding))).not.toContain(false);
  });

  it('that stops gives everything back, once, and is no member any more', async () => {
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

  it('that stops while it takes a shard finishes with it before the lease goes back', async () => {
    const taking = gate();
    const member = new Member('a');
    const granted = jest.spyOn(member, 'granted').mockImplementation((grant) => {
      member.acting.set(nameOf(grant), grant);
      return nameOf(grant) === 'shard 0' ? taking.passed : Promise.resolve();
    });
    await member.start();
    await eventually(() => expect(granted).toHaveBeenCalledTimes(ALL));
    const grant = member.grantOf('shard 0');
    const stopped = member.ownership.stop();
    await eventually(() => expect(member.acting.size).toBe(1));
    expect(member.events).not.toContain('revoked shard 0');
    expect(await isStanding(grant)).toBe(true);
    taking.open();
    await stopped;
    expect(member.events).toContain('revoked shard 0');
    expect(await isStanding(grant)).toBe(false);
  });

  it('stops acting by its own clock where renewals fail, though the lease still stands in Redis', async () => {
    const leases = new Leases(redis, keys, 'a', LONG_MS);
    const member = await new Member('a', 600, { leases }).start();
    const grants = await member.untilActing(ALL);
    const standing: Promise<boolean>[] = [];
    jest.spyOn(member, 'revoked').mockImplementation((grant) => {
      standing.push(isStanding(grant));
      member.acting.delete(nameOf(grant));
      return Promise.resolve();
    });
    const renew = jest.spyOn(leases, 'renew').mockRejectedValue(new Error('no answer'));
    await eventually(() => expect(standing.length).toBeGreaterThanOrEqual(ALL));
    expect(grants.map((grant) => member.ownership.mayAct(grant))).not.toContain(true);
    expect(await Promise.all(standing.slice(0, ALL))).not.toContain(false);
    expect(member.doubts).toBe(0);
    renew.mockRestore();
    await member.untilActing(ALL);
  });

  it('leaves its work to a fit one where a part of Redis does not answer it for long, and has its share back later', async () => {
    let answers = true;
    const partly = await new Member('a', 400, {
      dataLossDetectors: [() => (answers ? Promise.resolve(false) : Promise.reject(new Error('no answer')))],
    }).start();
    await partly.untilActing(ALL);
    const whole = await new Member('b', 400).start();
    await eventually(() => expect(whole.acting.size).toBe(3));
    answers = false;
    await whole.untilActing(ALL);
    expect(partly.acting.size).toBe(0);
    answers = true;
    await eventually(() => expect(partly.acting.size).toBeGreaterThanOrEqual(3));
  });

  it('renews nothing where its heartbeats are not heard, so that others need not wait', async () => {
    const membership = new Members(redis, keys, 'spec/a', 400);
    const silent = await new Member('a', 400, { members: membership }).start();
    await silent.untilActing(ALL);
    const heartbeat = jest.spyOn(membership, 'heartbeat').mockRejectedValue(new Error('no answer'));
    const other = await new Member('b', 400).start();
    await other.untilActing(ALL);
    expect(silent.acting.size).toBe(0);
    heartbeat.mockRestore();
    await eventually(() => expect(silent.acting.size).toBe(3));
  });

  it('leaves to others what it does not finish with within a lease time', async () => {
    const stuck = gate();
    const busy = new Member('a', 400);
    busy.revoked = () => stuck.passed;
    await busy.start();
    await busy.untilActing(ALL);
    const other = await new Member('b', 400).start();
    await other.untilActing(3);
    stuck.open();
  });

  it('waits longer with each failure to take a shard, whatever the members announce meanwhile', async () => {
    const member = new Member('a');
    const tries: number[] = [];
    jest.spyOn(member, 'granted').mockImplementation((grant) => {
      if (nameOf(grant) !== 'shard 3') return Promise.resolve();
      tries.push(performance.now());
      return Promise.reject(new Error('cannot be taken'));
    });
    await member.start();
    await eventually(() => expect(tries.length).toBeGreaterThanOrEqual(5));
    // Half of 50, 100, 200 and 400 ms at least.
    expect((tries[4] ?? 0) - (tries[0] ?? 0)).toBeGreaterThanOrEqual(375);
    expect(member.ownership.trouble()).toContain('not taken yet');
  });
});

describe('data that may be lost', () => {
  async function anew(member: Member, before: readonly Grant[]): Promise<void> {
    await eventually(() => expect(member.doubts).toBe(1));
    const after = await member.untilActing(ALL);
    for (const grant of before) {
      const now = after.find((one) => nameOf(one) === nameOf(grant));
      expect(now?.epoch).toBeGreaterThan(grant.epoch);
    }
    expect(member.doubts).toBe(1);
  }

  it('is doubted where leases are gone before they can have run out: everything is given up and acquired anew', async () => {
    const member = await new Member('a', 2000).start();
    const before = await member.untilActing(ALL);
    await redis.del(keys.owner({ kind: 'shard', index: 2 }));
    await anew(member, before);
  });

  it('is doubted where a write is refused though nobody can have taken the lease', async () => {
    const member = await new Member('a').start();
    const before = await member.untilActing(ALL);
    member.ownership.lost(member.grantOf('lane 0'));
    await anew(member, before);
  });

  it('is not doubted for a late write to a shard that is being given back', async () => {
    const member = await new Member('a').start();
    await member.untilActing(ALL);
    const grant = member.grantOf('shard 5');
    const release = member.leases.release.bind(member.leases);
    jest.spyOn(member.leases, 'release').mockImplementation(async (one) => {
      const standing = await release(one);
      // The refusal overtakes the answer to the release.
      if (one === grant) member.ownership.lost(one);
      return standing;
    });
    const second = await new Member('b').start();
    await second.untilActing(3);
    await member.untilActing(4);
    await redis.publish(keys.clusterChannel, 'look');
    await second.ownership.stop();
    await member.untilActing(ALL);
    expect(member.doubts).toBe(0);
  });

  it('is doubted where one source says so, though another cannot answer', async () => {
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
    await redis.publish(keys.clusterChannel, 'look');
    await anew(member, before);
  });
});

it('a lease that is overdue by its own clock is no write that Redis refused', async () => {
  const member = await new Member('a').start();
  await member.untilActing(ALL);
  const before = await refusals();
  member.ownership.lost(member.grantOf('shard 0'), 'overdue');
  await eventually(() => expect(member.events).toContain('revoked shard 0'));
  expect(await refusals()).toBe(before);
  await member.untilActing(ALL);
  expect(member.doubts).toBe(0);
  member.ownership.lost(member.grantOf('shard 1'));
  expect(await refusals()).toBe(before + 1);
});

it('lanes that have no session any more are given up', async () => {
  let sessions = LANES + 2;
  const member = await new Member('a', LONG_MS, { knownLanes: () => sessions }).start();
  await eventually(() => expect(member.acting.size).toBe(ALL + 2));
  sessions = LANES;
  // A change of the members makes a round, as the next renewal would.
  const other = await new Member('b', LONG_MS, { knownLanes: () => sessions }).start();
  await eventually(() => {
    const lanes = [...member.acting.keys(), ...other.acting.keys()].filter((name) => name.startsWith('lane'));
    expect(lanes).toEqual(['lane 0']);
  });
});
