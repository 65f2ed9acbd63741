/**
 * Leases in Redis: which process holds a shard or lane, in which epoch, and for how long. Each command replies with the
 * state after it, so that a caller that lost a race needs no second command.
 */
import type { Redis } from '@app/platform';
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

const renewLease = commands.load<
  { owner: string; log: string | undefined },
  { fence: string; lease_ms: number },
  string
>('renew-lease');

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

  /** Extends the lease if this process still holds it. @returns who holds it now */
  async renew(grant: Grant): Promise<LeaseStatus> {
    const keys = { owner: this.keys.owner(grant), log: this.logOf(grant) };
    const args = { fence: grant.fence, lease_ms: this.leaseMs };
    return statusOf(grant, await renewLease.run(this.redis, keys, args));
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

function statusOf(grant: Grant, fence: string): LeaseStatus {
  if (fence === '') return 'nobody';
  return fence === grant.fence ? 'ours' : 'another';
}
