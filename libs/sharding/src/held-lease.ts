/**
 * A shard or lane in the hands of this process, from the wish for it to its return:
 *
 *     acquiring ──> acting ──> finishing ──> returning ──> ended
 *
 * It may be given up while it is being acquired, and lost at any time. Whatever happens, the listener is asked to
 * finish with what it was granted, once, and only after it has taken it; and the lease goes back only after that.
 */
import type { Logger } from '@app/platform';
import type { Leases } from './leases.js';
import { ownershipMetrics } from './ownership-metrics.js';
import type { Grant, OwnershipListener } from './ownership.js';
import { nameOf, type Resource } from './sharding-keys.js';

export interface HeldLeaseOptions {
  leases: Leases;
  listener: Pick<OwnershipListener, 'granted' | 'revoked'>;
  /** Told of each step. */
  changed: (holding: HeldLease) => void;
  /** Of this process, for log lines. */
  member: string;
  logger: Logger;
}

/** What became of the wish. */
export type Acquired =
  | { kind: 'acting' }
  /** Another holds the lease, for at least so long unless it gives it back earlier. */
  | { kind: 'held'; forMs: number }
  | { kind: 'given-up' };

export class HeldLease {
  readonly name: string;
  private phase: 'acquiring' | 'acting' | 'finishing' | 'returning' | 'ended' = 'acquiring';
  private isLost = false;
  private leased: Grant | undefined;
  private renewedAt = performance.now();
  private finishingSince = Infinity;
  /** Settles when the listener has taken it, or has failed to; undefined while it has not been asked to. */
  private taking: Promise<void> | undefined;
  private readonly over: Promise<void>;
  private end: () => void = () => undefined;

  constructor(
    readonly resource: Resource,
    private readonly parts: HeldLeaseOptions,
  ) {
    this.name = nameOf(resource);
    this.over = new Promise((resolve) => {
      this.end = () => {
        this.phase = 'ended';
        resolve();
        parts.changed(this);
      };
    });
  }

  /** What is leased here until it has been given back; undefined before, and once it is lost. */
  get grant(): Grant | undefined {
    return this.isLost || this.phase === 'ended' ? undefined : this.leased;
  }

  /** When the last renewal that succeeded was sent, or else the acquisition, by `performance.now`. */
  get sentAt(): number {
    return this.renewedAt;
  }

  /** Whether the listener acts for it, as far as is known here. */
  get acting(): boolean {
    return this.phase === 'acting' && !this.isLost;
  }

  get acquiring(): boolean {
    return this.phase === 'acquiring';
  }

  /** Whether its lease is one to renew: it is not being given back yet. */
  get needsLease(): boolean {
    return this.grant !== undefined && this.phase !== 'returning';
  }

  /** For how long it has been finished with, in milliseconds; negative before. */
  finishingFor(now: number): number {
    return now - this.finishingSince;
  }

  get ended(): boolean {
    return this.phase === 'ended';
  }

  /** Acquires the lease and has the listener take it on. Rejects if one of the two fails; it has ended then. */
  async acquire(): Promise<Acquired> {
    const { leases, listener, changed } = this.parts;
    try {
      const outcome = await leases.acquire(this.resource);
      if (outcome.kind === 'held') {
        this.end();
        return { kind: 'held', forMs: outcome.forMs };
      }
      this.leased = outcome.grant;
      // It may have been given up while the answer was under way.
      if (this.acquiring) {
        const granted = listener.granted(outcome.grant);
        this.taking = granted.catch(() => undefined);
        changed(this);
        await granted;
      } else void this.finish(outcome.grant);
    } catch (error) {
      if (this.leased === undefined) this.end();
      await this.giveUp();
      throw error;
    }
    if (!this.acquiring) {
      await this.over;
      return { kind: 'given-up' };
    }
    this.phase = 'acting';
    this.note('acquired');
    changed(this);
    return { kind: 'acting' };
  }

  /** A renewal that was sent at this time has succeeded. */
  renewed(sentAt: number): void {
    this.renewedAt = sentAt;
  }

  /** It must not be acted for any more, from now on. */
  lose(why: string): void {
    if (!this.needsLease) return;
    this.isLost = true;
    this.note('lost', why);
    this.parts.changed(this);
    void this.giveUp();
  }

  /** Has the listener finish, gives the lease back if it is still ours, and resolves then. Never rejects. */
  giveUp(): Promise<void> {
    const { phase, leased } = this;
    if (phase !== 'acquiring' && phase !== 'acting') return this.over;
    this.phase = 'finishing';
    this.finishingSince = performance.now();
    // Before there is a lease, it is for `acquire` to finish.
    if (leased !== undefined) void this.finish(leased);
    return this.over;
  }

  private async finish(grant: Grant): Promise<void> {
    const { leases, listener, logger } = this.parts;
    const begun = performance.now();
    if (this.taking !== undefined) {
      await this.taking;
      await listener.revoked(grant).catch((error: unknown) => {
        logger.error({ ...this.about(), err: error }, 'did not finish in order');
      });
    }
    this.phase = 'returning';
    try {
      await leases.release(grant);
      ownershipMetrics().handOff.observe({ kind: grant.kind }, (performance.now() - begun) / 1000);
    } catch (error) {
      logger.warn({ ...this.about(), err: error }, 'could not give the lease back; it runs out by itself');
    }
    if (!this.isLost) this.note('released');
    this.end();
  }

  private note(change: 'acquired' | 'released' | 'lost', why?: string): void {
    const { kind } = this.resource;
    ownershipMetrics().changes.inc({ kind, change });
    const about = why === undefined ? this.about() : { ...this.about(), why };
    if (change === 'lost') this.parts.logger.warn(about, change);
    else this.parts.logger.info(about, change);
  }

  private about(): Record<string, unknown> {
    const { resource, leased } = this;
    return { [resource.kind]: resource.index, epoch: leased?.epoch, member: this.parts.member };
  }
}
