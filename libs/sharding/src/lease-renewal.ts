/** What each process does with its leases in each round, for both sides of shards and for lanes: renews them, and gives up what it could not renew. */
import type { HeldLease } from './held-lease.js';
import type { LeaseTiming } from './lease-timing.js';
import type { LeaseStatus, Leases } from './leases.js';

/**
 * Renews leases with one call, and says so to those that are still ours. Leaves out those that do not need it, and work that waits for a lost part
 * of Redis: it may never finish, so its lease expires, and another process takes over.
 * @param now when the renewals are sent
 * @param refused called for a lease that another process holds, or nobody
 */
export function renewLeases(
  leases: Leases,
  timing: LeaseTiming,
  own: readonly HeldLease[],
  now: number,
  refused: (lease: HeldLease, status: Exclude<LeaseStatus, 'ours'>) => void,
): Promise<void>[] {
  const due = own.flatMap((lease) => {
    const { grant } = lease;
    const mayRenew = lease.needsLease && lease.finishingFor(now) <= timing.leaseMs;
    return grant === undefined || !mayRenew ? [] : [{ lease, grant }];
  });
  const renewed = leases.renew(due.map(({ grant }) => grant));
  return due.map(async ({ lease }, i) => {
    const status = await renewed[i];
    if (status === 'ours') lease.renewed(now);
    else refused(lease, status ?? 'nobody');
  });
}

/** Gives up the leases that were not renewed in time: by the clock of this process they may have ended. */
export function loseOverdueLeases(timing: LeaseTiming, own: Iterable<HeldLease>, now: number): void {
  for (const lease of own) {
    if (lease.needsLease && !timing.mayAct(lease.sentAt, now)) lease.lose('the lease could not be renewed in time');
  }
}
