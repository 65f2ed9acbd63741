/**
 * Leases in Redis: which process holds a shard or lane, in which epoch, and for how long. Each command replies with the
 * state after it, so that a caller that lost a race needs no second command.
 */
import { isCluster, type Redis } from '@app/platform';
import { commands } from './commands.js';
import type { Grant } from './ownership.js';
import type { Resource, ShardingKeys } from './sharding-keys.js';

export type Acquisition =
  | { kind: 'acquired'; grant: Grant }
  /** Another process holds the lease for `forMs` more, unless it releases the lease earlier. */
  | { kind: 'held'; fence: string; forMs: number };

/** Who holds the lease of a grant now. */
export type LeaseStatus = 'ours' | 'nobody' | 'another';

const acquireLease = commands.load<
  { owner: string; epoch: string; log: string | undefined },
  { boot_id: string; lease_ms: number },
  [fence: string, forMs: number]
>('acquire-lease');

const renewLeases = commands.load<
  { leases: readonly string[] },
  { lease_ms: number; leases: readonly (string | number)[] },
  (string | Error)[]
>('renew-leases');

/** Most leases that one call renews. */
const RENEWED_AT_ONCE = 64;

const releaseLease = commands.load<{ owner: string }, { fence: string }, string>('release-lease');

export class Leases {
  constructor(
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
    /** Part of every fence, so that a restarted process is a new owner (S4). */
    private readonly bootId: string,
    private readonly leaseMs: number,
  ) {}

  async acquire({ kind, index }: Resource): Promise<Acquisition> {
    const resource = { kind, index };
    const keys = { owner: this.keys.owner(resource), epoch: this.keys.epoch(resource), log: this.logOf(resource) };
    const args = { boot_id: this.bootId, lease_ms: this.leaseMs };
    const [fence, forMs] = await acquireLease.run(this.redis, keys, args);
    if (!fence.endsWith(`:${this.bootId}`)) return { kind: 'held', fence, forMs };
    return { kind: 'acquired', grant: { ...resource, epoch: Number.parseInt(fence, 10), fence } };
  }

  /**
   * Extends the leases that this process still holds: many with one call. On a Redis Cluster each has its own call, since no
   * call may change several shards there.
   * @returns for each lease who holds it now
   */
  renew(grants: readonly Grant[]): Promise<LeaseStatus>[] {
    const atOnce = isCluster(this.redis) ? 1 : RENEWED_AT_ONCE;
    const renewed: Promise<LeaseStatus>[] = [];
    for (let from = 0; from < grants.length; from += atOnce) {
      const together = grants.slice(from, from + atOnce);
      const holders = this.renewTogether(together);
      renewed.push(...together.map(async (grant, i) => statusOf(grant, (await holders)[i] ?? '')));
    }
    return renewed;
  }

  private renewTogether(grants: readonly Grant[]): Promise<(string | Error)[]> {
    const ofGrants = grants.map((grant) => {
      const log = this.logOf(grant);
      return log === undefined ? [this.keys.owner(grant)] : [this.keys.owner(grant), log];
    });
    const args = {
      lease_ms: this.leaseMs,
      leases: grants.flatMap(({ fence }, i) => [fence, ofGrants[i]?.length ?? 1]),
    };
    return renewLeases.run(this.redis, { leases: ofGrants.flat() }, args);
  }

  /** Releases the lease if this process still holds it. @returns who holds it now */
  async release(grant: Grant): Promise<LeaseStatus> {
    return statusOf(
      grant,
      await releaseLease.run(this.redis, { owner: this.keys.owner(grant) }, { fence: grant.fence }),
    );
  }

  async status(grant: Grant): Promise<LeaseStatus> {
    return statusOf(grant, (await this.redis.get(this.keys.owner(grant))) ?? '');
  }

  private logOf({ kind, index }: Resource): string | undefined {
    return kind === 'shard' ? this.keys.log(index) : undefined;
  }
}

function statusOf(grant: Grant, fence: string | Error): LeaseStatus {
  if (fence instanceof Error) throw fence;
  if (fence === '') return 'nobody';
  return fence === grant.fence ? 'ours' : 'another';
}
