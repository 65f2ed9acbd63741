/**
 * Leases, mailboxes and fenced commits, compared with a small model: in any order of steps of former owners, retries and new
 * owners, nothing is appended twice, no stale owner commits, and positions only rise.
 */
import fc from 'fast-check';
import type { Redis } from '@app/platform';
import {
  Leases,
  Mailboxes,
  PositionError,
  StaleOwnerError,
  type AppendOutcome,
  type Grant,
  type LeaseStatus,
} from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { RegistryKeys } from '../keys.js';
import { FencedCommit } from './fenced-commit.js';

const SHARDS = 2;
const LIMIT = 6;
/** Longer than the test: a lease expires only in a step `expire`. */
const LEASE_MS = 60_000;

let redis: Redis;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

const BOOTS = ['a', 'b'] as const;
type Boot = (typeof BOOTS)[number];

type Step =
  /** `lane`: undefined for the owner that announced itself last. */
  | { do: 'announce'; lane: Grant | undefined }
  | { do: 'append'; lane: Grant | undefined; sequence: number; counts: number[] }
  /** Redis loses a shard's lane fences. */
  | { do: 'lose'; shard: number }
  | { do: 'send'; shard: number }
  | { do: 'acquire'; shard: number; boot: Boot }
  /** The lease expires in Redis. */
  | { do: 'expire'; shard: number }
  | { do: 'renew' | 'release'; shard: number; owner: number }
  /** `owner`: 0 for the newest, 1 for the one before. `from`: 0 for the shard's position, 1 for a wrong one. */
  | { do: 'commit'; shard: number; owner: number; from: number; count: number }
  | { do: 'repeat'; shard: number; owner: number };

const shard = fc.nat(SHARDS - 1);
const owner = fc.oneof(
  { weight: 4, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }) },
);
/** Two boots can have the same epoch if Redis has lost its counters. */
const laneOwner = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.constantFrom(...BOOTS))
  .map(([epoch, boot]) => lane(epoch, boot));
const laneOwnerOrLast = fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: laneOwner });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ do: fc.constant('announce' as const), lane: laneOwnerOrLast }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('append' as const),
      lane: laneOwnerOrLast,
      sequence: fc.integer({ min: 1, max: 8 }),
      counts: fc.array(fc.nat(3), { minLength: SHARDS, maxLength: SHARDS }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const), shard }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('send' as const), shard }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('acquire' as const), shard, boot: fc.constantFrom(...BOOTS) }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('expire' as const), shard }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('renew' as const, 'release' as const), shard, owner }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('commit' as const),
      shard,
      owner,
      from: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.constant(1) }),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('repeat' as const), shard, owner }) },
);

interface ModelShard {
  /** The owner that has announced itself, and the sequence number of its last append. */
  announced: { lane: Grant; sequence: number } | undefined;
  /** The entries that wait, with the ids that Redis gave them. */
  mailbox: { id: string; body: string }[];
  applied: string[];
  position: string;
  /** The last commit, and the position before it. */
  last: { from: string; to: string; writes: string[] } | undefined;
  /** All grants there have been, the newest last. */
  grants: Grant[];
  /** Whether the newest grant is still valid. */
  held: boolean;
}

class World {
  private readonly keys = new RegistryKeys(`model${keySpaces++}`);
  private readonly mailboxes = new Mailboxes(redis, this.keys, LIMIT);
  private readonly commits = new FencedCommit(redis, this.keys);
  private readonly leases = new Map(BOOTS.map((boot) => [boot, new Leases(redis, this.keys, boot, LEASE_MS)]));
  private readonly shards: ModelShard[] = Array.from({ length: SHARDS }, () => ({
    announced: undefined,
    mailbox: [],
    applied: [],
    position: '0-0',
    last: undefined,
    grants: [],
    held: false,
  }));
  private announced = lane(1, 'a');
  private bodies = 0;

  async run(steps: readonly Step[]): Promise<void> {
    for (const shard of this.shards.keys()) await this.acquire(shard, 'a');
    await this.announce();
    for (const one of steps) {
      await this.take(one);
      await this.compare();
    }
  }

  private take(one: Step): Promise<void> {
    switch (one.do) {
      case 'announce':
        return this.announce(one.lane);
      case 'append':
        return this.append(one);
      case 'lose':
        return this.lose(one.shard);
      case 'send':
        return this.send(one.shard);
      case 'acquire':
        return this.acquire(one.shard, one.boot);
      case 'expire':
        return this.expire(one.shard);
      case 'renew':
        return this.renew(one.shard, one.owner);
      case 'release':
        return this.release(one.shard, one.owner);
      case 'commit':
        return this.commit(one);
      case 'repeat':
        return this.repeat(one);
    }
  }

  private async announce(by = this.announced): Promise<void> {
    const fenced = this.shards.some(({ announced: last }) => last !== undefined && by.epoch < last.lane.epoch);
    const announced = this.mailboxes.announce(by, SHARDS);
    if (fenced) await expect(announced).rejects.toThrow(StaleOwnerError);
    else {
      await announced;
      this.announced = by;
    }
    // The shards that do not refuse accept the announcement, even if another shard refuses it.
    for (const one of this.shards) {
      if (one.announced !== undefined && by.epoch < one.announced.lane.epoch) continue;
      if (one.announced?.lane.fence !== by.fence) one.announced = { lane: by, sequence: 0 };
    }
  }

  private async lose(index: number): Promise<void> {
    await redis.del(this.keys.laneFences(index));
    this.at(index).announced = undefined;
  }

  private async append({
    lane: by = this.announced,
    sequence,
    counts,
  }: Extract<Step, { do: 'append' }>): Promise<void> {
    const batches = new Map<number, string[]>();
    counts.forEach((count, index) => {
      if (count > 0)
        batches.set(
          index,
          Array.from({ length: count }, () => `body ${this.bodies++}`),
        );
    });
    const wanted = new Map<number, AppendOutcome | 'stale'>();
    for (const [index, bodies] of batches) {
      const one = this.at(index);
      if (one.announced?.lane.fence !== by.fence) wanted.set(index, 'stale');
      else if (sequence <= one.announced.sequence) wanted.set(index, 'seen');
      else if (one.mailbox.length + bodies.length > LIMIT) wanted.set(index, 'full');
      else {
        wanted.set(index, 'appended');
        one.announced = { lane: by, sequence };
        one.mailbox.push(...bodies.map((body) => ({ id: '', body })));
      }
    }
    const items = new Map(Array.from(batches, ([index, bodies]) => [index, bodies.map((body) => ({ text: body }))]));
    const outcome = this.mailboxes.append(by, sequence, items).then(({ outcomes }) => outcomes);
    if ([...wanted.values()].includes('stale')) await expect(outcome).rejects.toThrow(StaleOwnerError);
    else expect(await outcome).toEqual(wanted);
  }

  private async send(index: number): Promise<void> {
    const one = this.at(index);
    const body = `body ${this.bodies++}`;
    const hasCapacity = one.mailbox.length < LIMIT;
    expect(await this.mailboxes.send(index, body)).toBe(hasCapacity);
    if (hasCapacity) one.mailbox.push({ id: '', body });
  }

  private async acquire(index: number, boot: Boot): Promise<void> {
    const one = this.at(index);
    const before = one.grants.at(-1);
    const outcome = await this.leasesOf(boot).acquire({ kind: 'shard', index });
    if (one.held && before !== undefined && !before.fence.endsWith(boot)) {
      expect(outcome).toMatchObject({ kind: 'held', fence: before.fence });
      return;
    }
    if (outcome.kind !== 'acquired') throw new Error(`shard ${index} was free and not given`);
    expect(outcome.grant.epoch).toBeGreaterThan(before?.epoch ?? 0);
    one.grants.push(outcome.grant);
    one.held = true;
  }

  private async expire(index: number): Promise<void> {
    await redis.del(this.keys.owner({ kind: 'shard', index }));
    this.at(index).held = false;
  }

  private async renew(index: number, back: number): Promise<void> {
    const { grant } = this.owner(index, back);
    expect(await this.leasesOf(bootOf(grant)).renew([grant])[0]).toBe(this.statusOf(index, grant));
  }

  private async release(index: number, back: number): Promise<void> {
    const { grant, stale } = this.owner(index, back);
    const status = await this.leasesOf(bootOf(grant)).release(grant);
    expect(status).toBe(stale ? this.statusOf(index, grant) : 'nobody');
    if (!stale) this.at(index).held = false;
  }

  private async commit({
    shard: index,
    owner: back,
    from: wrong,
    count,
  }: Extract<Step, { do: 'commit' }>): Promise<void> {
    const one = this.at(index);
    const batch = one.mailbox.slice(0, count);
    const to = batch.at(-1)?.id;
    if (to === undefined) return;
    const from = wrong === 0 ? one.position : '0-1';
    const writes = batch.map(({ body }) => body);
    const { grant, stale } = this.owner(index, back);
    const outcome = this.write(grant, from, to, writes);
    if (stale) await expect(outcome).rejects.toThrow(StaleOwnerError);
    else if (from !== one.position) await expect(outcome).rejects.toThrow(PositionError);
    else {
      expect(await outcome).toEqual({ kind: 'committed', guarded: [], reports: [] });
      one.last = { from, to, writes };
      one.position = to;
      one.mailbox = one.mailbox.slice(batch.length);
      one.applied.push(...writes);
    }
  }

  private async repeat({ shard: index, owner: back }: Extract<Step, { do: 'repeat' }>): Promise<void> {
    const { last } = this.at(index);
    if (last === undefined) return;
    const { grant, stale } = this.owner(index, back);
    const outcome = this.write(grant, last.from, last.to, last.writes);
    if (stale) await expect(outcome).rejects.toThrow(StaleOwnerError);
    else expect(await outcome).toEqual({ kind: 'repeated' });
  }

  private write(grant: Grant, from: string, to: string, bodies: string[]): Promise<unknown> {
    const writes = bodies.map((body) => ({ command: ['RPUSH', this.applied(grant.index), body] }));
    return this.commits.commit(grant, from, to, writes);
  }

  private async compare(): Promise<void> {
    for (const [index, one] of this.shards.entries()) {
      const entries = await redis.xrange(this.keys.mailbox(index), '-', '+');
      expect(entries.map(([, [, text = '']]) => text)).toEqual(one.mailbox.map(({ body }) => body));
      one.mailbox = entries.map(([id], i) => ({ id, body: one.mailbox[i]?.body ?? '' }));
      expect(await redis.lrange(this.applied(index), 0, -1)).toEqual(one.applied);
      expect(await this.commits.position(index)).toBe(one.position);
      const all = [...one.applied, ...one.mailbox.map(({ body }) => body)];
      expect(new Set(all).size).toBe(all.length);
    }
  }

  private owner(index: number, back: number): { grant: Grant; stale: boolean } {
    const { grants, held } = this.at(index);
    const at = Math.max(0, grants.length - 1 - back);
    const grant = grants[at];
    if (grant === undefined) throw new Error(`shard ${index} was never granted`);
    return { grant, stale: !held || at !== grants.length - 1 };
  }

  private statusOf(index: number, grant: Grant): LeaseStatus {
    const { grants, held } = this.at(index);
    if (!held) return 'nobody';
    return grants.at(-1) === grant ? 'ours' : 'another';
  }

  private leasesOf(boot: Boot): Leases {
    const leases = this.leases.get(boot);
    if (leases === undefined) throw new Error(`there is no boot ${boot}`);
    return leases;
  }

  private at(index: number): ModelShard {
    const one = this.shards[index];
    if (one === undefined) throw new Error(`there is no shard ${index}`);
    return one;
  }

  private applied(index: number): string {
    return `${this.keys.shard(index)}:applied`;
  }
}

function bootOf({ fence }: Grant): Boot {
  return fence.endsWith(':a') ? 'a' : 'b';
}

function lane(epoch: number, boot: string): Grant {
  return { kind: 'lane', index: 0, epoch, fence: `${epoch}:${boot}` };
}

it('mailboxes and commits agree with the model after any steps: nothing is appended twice, and no stale owner commits', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => new World().run(steps)),
    { numRuns: 60 },
  );
});
