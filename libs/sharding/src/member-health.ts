/**
 * Whether a member can do its work. A member that sends heartbeats but cannot reach the broker, or a master of a Redis
 * Cluster, must not keep its shards and lanes. After `graceMs` it leaves them to a fit member; if no member is fit,
 * nothing moves.
 */

/**
 * - `fit`: there has been no failure for `graceMs`;
 * - `troubled`: there is a failure, or there was one within `graceMs`;
 * - `unfit`: the failure has lasted for `graceMs` while another member was fit. The member gets no shards and lanes until
 *   the failure is over, unless all members are unfit.
 */
export type MemberHealth = 'fit' | 'troubled' | 'unfit';

/** A failure that keeps a member from its work. `redis-unreachable`: a part of Redis does not answer; the heartbeat succeeds. */
export type MemberFailure = 'broker-unreachable' | 'redis-unreachable';

export class MemberHealthWatch {
  private state: MemberHealth = 'fit';
  /** When the present failure began, or when the last one ended. */
  private since: number | undefined;
  private failure: MemberFailure | undefined;

  /** @param graceMs how long a failure must last before it counts, and how long it is remembered after its end */
  constructor(private readonly graceMs: number) {}

  get current(): MemberHealth {
    return this.state;
  }

  /** Why the member is not fit; undefined if it is. `recovering`: the failure is over, for less than `graceMs`. */
  get reason(): MemberFailure | 'recovering' | undefined {
    return this.failure ?? (this.state === 'fit' ? undefined : 'recovering');
  }

  /**
   * Records an observation.
   * @param othersHealthy whether another member is fit
   * @param now by `performance.now`
   */
  note(failure: MemberFailure | undefined, othersHealthy: boolean, now: number): void {
    const failing = failure !== undefined;
    if (failing !== (this.failure !== undefined)) this.since = undefined;
    this.failure = failure;
    this.since ??= now;
    const lasting = now - this.since >= this.graceMs;
    if (!failing) this.state = lasting || this.state === 'fit' ? 'fit' : 'troubled';
    else if (this.state !== 'unfit') this.state = lasting && othersHealthy ? 'unfit' : 'troubled';
  }

  /** The member's heartbeat failed: the duration of the present failure is counted from zero again. */
  interrupted(): void {
    this.since = undefined;
  }
}
