/**
 * The lease of one shard or lane in this process, from the attempt to acquire it until it is released:
 *
 *     acquiring ──> acting ──> finishing ──> releasing ──> ended
 *
 * The lease can be given up while it is being acquired, and lost at any time. In every case `granted` settles before
 * `revoked` is called, `revoked` is called once at most, and the lease is released only after `revoked` has settled.
 */
import type { Logger } from '@app/platform';
import type { Leases } from './leases.js';
import { ownershipMetrics } from './ownership-metrics.js';
import type { Grant, OwnershipListener } from './ownership.js';
import { nameOf, type Resource } from './sharding-keys.js';

export interface HeldLeaseOptions {
  leases: Leases;
  listener: Pick<OwnershipListener, 'granted' | 'revoked'>;
  /** Called at each change of phase, and when the lease is lost. */
  onChange: (lease: HeldLease) => void;
  /** This process's member id, for log lines. */
  member: string;
  logger: Logger;
}

export type AcquireOutcome =
  | { kind: 'acting' }
  /** Another process holds the lease for `forMs` more, unless it releases the lease earlier. */
  | { kind: 'held'; forMs: number }
  /** `giveUp` or `lose` was called before the listener had taken the grant. */
  | { kind: 'given-up' };

export class HeldLease {
  readonly name: string;
  private phase: 'acquiring' | 'acting' | 'finishing' | 'releasing' | 'ended' = 'acquiring';
  private isLost = false;
  private acquiredGrant: Grant | undefined;
  private renewalSentAt = performance.now();
  private finishingSince = Infinity;
  /** Settles with `listener.granted`; undefined before that is called. Never rejects. */
  private granting: Promise<void> | undefined;
  private readonly endReached: Promise<void>;
  private end: () => void = () => undefined;

  constructor(
    readonly resource: Resource,
    private readonly options: HeldLeaseOptions,
  ) {
    this.name = nameOf(resource);
    this.endReached = new Promise((resolve) => {
      this.end = () => {
        this.phase = 'ended';
        resolve();
        options.onChange(this);
      };
    });
  }

  /** The grant from its acquisition until its release; undefined before and after, and once the lease is lost. */
  get grant(): Grant | undefined {
    return this.isLost || this.phase === 'ended' ? undefined : this.acquiredGrant;
  }

  /** When the last successful renewal was sent, or the acquisition if there was none; by `performance.now`. */
  get sentAt(): number {
    return this.renewalSentAt;
  }

  get acting(): boolean {
    return this.phase === 'acting' && !this.isLost;
  }

  get acquiring(): boolean {
    return this.phase === 'acquiring';
  }

  /** Whether the lease has to be renewed: it is held, and its release has not begun. */
  get needsLease(): boolean {
    return this.grant !== undefined && this.phase !== 'releasing';
  }

  /** Milliseconds since the listener was asked to finish; negative if it has not been asked. */
  finishingFor(now: number): number {
    return now - this.finishingSince;
  }

  get ended(): boolean {
    return this.phase === 'ended';
  }

  /** Acquires the lease and grants it to the listener. Rejects if either fails; the lease has been released then. */
  async acquire(): Promise<AcquireOutcome> {
    const { leases, listener, onChange } = this.options;
    try {
      const outcome = await leases.acquire(this.resource);
      if (outcome.kind === 'held') {
        this.end();
        return { kind: 'held', forMs: outcome.forMs };
      }
      this.acquiredGrant = outcome.grant;
      // `giveUp` may have been called before Redis replied.
      if (this.acquiring) {
        const granted = listener.granted(outcome.grant);
        this.granting = granted.catch(() => undefined);
        onChange(this);
        await granted;
      } else void this.finish(outcome.grant);
    } catch (error) {
      if (this.acquiredGrant === undefined) this.end();
      await this.giveUp();
      throw error;
    }
    if (!this.acquiring) {
      await this.endReached;
      return { kind: 'given-up' };
    }
    this.phase = 'acting';
    this.report('acquired');
    onChange(this);
    return { kind: 'acting' };
  }

  /** Records a successful renewal, by the time at which it was sent. */
  renewed(sentAt: number): void {
    this.renewalSentAt = sentAt;
  }

  /** Marks the lease as lost: from now on this process must not act for the resource. */
  lose(why: string): void {
    if (!this.needsLease) return;
    this.isLost = true;
    this.report('lost', why);
    this.options.onChange(this);
    void this.giveUp();
  }

  /** Lets the listener finish, then releases the lease if this process still holds it. Never rejects. */
  giveUp(): Promise<void> {
    const { phase, acquiredGrant } = this;
    if (phase !== 'acquiring' && phase !== 'acting') return this.endReached;
    this.phase = 'finishing';
    this.finishingSince = performance.now();
    // If Redis has not replied yet, `acquire` calls `finish`.
    if (acquiredGrant !== undefined) void this.finish(acquiredGrant);
    return this.endReached;
  }

  private async finish(grant: Grant): Promise<void> {
    const { leases, listener, logger } = this.options;
    const begun = performance.now();
    if (this.granting !== undefined) {
      await this.granting;
      await listener.revoked(grant).catch((error: unknown) => {
        logger.error({ ...this.logFields(), err: error }, 'the work for this lease did not finish in order');
      });
    }
    this.phase = 'releasing';
    try {
      await leases.release(grant);
      ownershipMetrics().handOff.observe({ kind: grant.kind }, (performance.now() - begun) / 1000);
    } catch (error) {
      logger.warn({ ...this.logFields(), err: error }, 'could not release the lease; it expires by itself');
    }
    if (!this.isLost) this.report('released');
    this.end();
  }

  private report(change: 'acquired' | 'released' | 'lost', why?: string): void {
    const { kind } = this.resource;
    ownershipMetrics().changes.inc({ kind, change });
    const fields = why === undefined ? this.logFields() : { ...this.logFields(), why };
    if (change === 'lost') this.options.logger.warn(fields, change);
    else this.options.logger.info(fields, change);
  }

  private logFields(): Record<string, unknown> {
    const { resource, acquiredGrant } = this;
    return { [resource.kind]: resource.index, epoch: acquiredGrant?.epoch, member: this.options.member };
  }
}
