/**
 * Ownership in a cluster: sends heartbeats, computes which shards and lanes this process should hold, and acquires, renews
 * and releases their leases. One round does all of this. A round runs when a lease has to be renewed, when Redis publishes
 * that a member has joined, left or changed its leases, and when another member's heartbeat is overdue.
 *
 * - By its own clock, this process stops acting before the lease can expire in Redis (S3): through a timer, and through
 *   `mayAct`, because a process that was frozen acts before its timers run.
 * - A resource that was given up is acquired again only after the listener has finished with it.
 * - If Redis cannot be reached, this process stops acting but keeps running (S7).
 * - If a lease has vanished before it can have expired, or a data-loss detector reports it, Redis may have lost data (S0):
 *   all leases are given up, the listener is notified, and the leases are acquired again.
 */
import { Backoff, type Logger, type Redis } from '@app/platform';
import { assign } from './assignment.js';
import { AcquireBackoff } from './acquire-backoff.js';
import { MemberHealthWatch } from './member-health.js';
import { HeldLease } from './held-lease.js';
import { loseOverdueLeases, renewLeases } from './lease-renewal.js';
import type { LeaseTiming } from './lease-timing.js';
import type { Leases } from './leases.js';
import type { Announcement, Member, Members } from './members.js';
import { ownershipMetrics } from './ownership-metrics.js';
import type { Grant, Ownership, OwnershipListener } from './ownership.js';
import { ReconcileLoop } from './reconcile-loop.js';
import { nameOf, type Resource, type ShardingKeys } from './sharding-keys.js';

export interface LeasedOwnershipOptions {
  members: Members;
  leases: Leases;
  timing: LeaseTiming;
  keys: ShardingKeys;
  /** A connection that nothing else uses; changes of the members arrive on it. */
  subscriber: Redis;
  /** Each resolves with whether data may have been lost since its last call (S0). */
  dataLossDetectors: readonly (() => Promise<boolean>)[];
  /** Whether this process is connected to the broker: without it, it cannot work. */
  reachesBroker: () => boolean;
  /** How many lanes may have a session at the broker, by the last reading; undefined if there is none. */
  knownLanes?: () => number | undefined;
  /** The constant part of this process's announcement. */
  about: Pick<Announcement, 'name' | 'wants_lanes' | 'format'>;
  shardCount: number;
  logger: Logger;
}

export class LeasedOwnership implements Ownership {
  private readonly metrics = ownershipMetrics();
  private readonly leases = new Map<string, HeldLease>();
  private readonly acquireBackoff = new AcquireBackoff();
  private readonly loop: ReconcileLoop;
  private readonly health: MemberHealthWatch;
  /** Back-off of rounds in which the heartbeat succeeded and another request failed. */
  private readonly partialFailureBackoff: Backoff;
  private readonly since = new Date().toISOString();
  private listener: OwnershipListener | undefined;
  /** The live members, by the last heartbeat that reported them. */
  private view: readonly Member[] = [];
  private assigned: ReadonlyMap<string, Resource> = new Map();
  /** When the last successful heartbeat was sent. */
  private heartbeatSentAt: number | undefined;
  private draining = false;
  /** Whether a lease has vanished that cannot have expired. */
  private leaseVanished = false;
  private deadline: NodeJS.Timeout | undefined;
  private deadlineAt = Infinity;
  private knownLanes = 0;

  constructor(private readonly options: LeasedOwnershipOptions) {
    const { leaseMs, renewEveryMs } = options.timing;
    this.loop = new ReconcileLoop(() => this.round(), options.logger);
    this.health = new MemberHealthWatch(leaseMs);
    this.partialFailureBackoff = new Backoff(50, renewEveryMs, leaseMs);
  }

  /** Resolves when this process is subscribed to the cluster's changes; the first round begins then. */
  async start(listener: OwnershipListener, knownLanes: number): Promise<void> {
    const { subscriber, keys } = this.options;
    this.listener = listener;
    this.knownLanes = knownLanes;
    subscriber.on('message', () => this.loop.trigger());
    await subscriber.subscribe(keys.clusterChannel);
    this.loop.start();
  }

  grants(): readonly Grant[] {
    return [...this.leases.values()].flatMap(({ grant, acquiring }) =>
      grant === undefined || acquiring ? [] : [grant],
    );
  }

  mayAct(grant: Grant): boolean {
    const lease = this.leases.get(nameOf(grant));
    return lease?.grant === grant && this.options.timing.mayAct(lease.sentAt, performance.now());
  }

  async confirm(grant: Grant): Promise<boolean> {
    const isOurs = (await this.options.leases.status(grant)) === 'ours';
    if (!isOurs) this.lost(grant);
    return isOurs && this.mayAct(grant);
  }

  lost(grant: Grant, how: 'refused' | 'overdue' = 'refused'): void {
    const lease = this.leases.get(nameOf(grant));
    if (lease?.grant !== grant) return;
    if (how === 'overdue') {
      lease.lose('the lease could not be renewed in time');
      return;
    }
    this.metrics.refusals.inc({ kind: grant.kind });
    this.detectVanished(lease);
    lease.lose('Redis refused a write: another process holds the lease, or nobody does');
  }

  /** Why this process is not ready to serve; undefined if it acts for everything that is assigned to it. */
  notReadyReason(): string | undefined {
    const { timing } = this.options;
    if (this.heartbeatSentAt === undefined || !timing.mayAct(this.heartbeatSentAt, performance.now()))
      return 'not a member now: Redis has not answered a heartbeat in time';
    const missing = [...this.assigned.keys()].filter((name) => this.leases.get(name)?.acting !== true).length;
    return missing === 0 ? undefined : `${missing} of ${this.assigned.size} shards and lanes not taken yet`;
  }

  async stop(): Promise<void> {
    this.draining = true;
    this.assigned = new Map();
    this.loop.trigger();
    // The loop goes on until all leases have ended: it renews those whose work is still being finished.
    await Promise.all([...this.leases.values()].map((lease) => lease.giveUp()));
    await this.loop.stop();
    clearTimeout(this.deadline);
    await this.options.members.leave().catch((error: unknown) => {
      this.options.logger.warn(
        { err: error },
        'could not leave the cluster; the other members notice when the heartbeat is overdue',
      );
    });
  }

  /** @returns the longest time to wait for the next round, in milliseconds */
  private async round(): Promise<number> {
    const { members, timing } = this.options;
    const sentAt = performance.now();
    const [heartbeat, ...others] = await Promise.allSettled([
      members.heartbeat(this.announcement()),
      this.checkForDataLoss(),
      ...this.renewals(sentAt),
    ]);
    this.enforceDeadlines();
    if (heartbeat.status === 'rejected') {
      this.health.interrupted();
      throw heartbeat.reason;
    }
    this.heartbeatSentAt = sentAt;
    this.knownLanes = this.options.knownLanes?.() ?? this.knownLanes;
    if (heartbeat.value.members !== undefined) {
      this.view = heartbeat.value.members;
      this.acquireBackoff.holdersChanged();
    }
    if (this.leaseVanished) this.startOver('leases have vanished before they can have expired');
    this.reconcile();
    const retries = this.missing().map(([name]) => this.acquireBackoff.dueIn(name));
    const dueIn = Math.min(timing.renewEveryMs, (heartbeat.value.nextOverdueMs ?? Infinity) + 1, ...retries);
    return Math.max(0, Math.min(dueIn, this.updateHealth(others)));
  }

  /** @returns milliseconds until the failed requests are due again; Infinity if none has failed */
  private updateHealth(outcomes: readonly PromiseSettledResult<unknown>[]): number {
    const { logger, members, reachesBroker } = this.options;
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    const othersHealthy = this.view.some(
      ({ id, draining, fitness }) => id !== members.id && !draining && fitness === 'fit',
    );
    const { current: before, reason: reasonBefore } = this.health;
    const failure = failed === undefined ? undefined : 'redis-unreachable';
    this.health.note(reachesBroker() ? failure : 'broker-unreachable', othersHealthy, performance.now());
    const { current: now, reason } = this.health;
    if (now !== before || reason !== reasonBefore) {
      logger.info({ member: members.id, before, now, reason }, 'fitness of this member changed');
      this.metrics.unfit.set(now === 'unfit' ? 1 : 0);
      this.loop.trigger();
    }
    if (failed === undefined) {
      this.partialFailureBackoff.succeeded();
      return Infinity;
    }
    const waitMs = this.partialFailureBackoff.failed();
    logger.warn({ err: failed.reason, wait_ms: waitMs }, 'a part of Redis does not answer; trying again');
    return waitMs;
  }

  private announcement(): Announcement {
    const granted = [...this.leases.values()].filter(({ grant }) => grant !== undefined);
    const indicesOf = (kind: Resource['kind']): number[] =>
      granted.flatMap(({ resource }) => (resource.kind === kind ? [resource.index] : [])).sort((a, b) => a - b);
    return {
      ...this.options.about,
      knows_lanes: this.knownLanes,
      since: this.since,
      draining: this.draining,
      fitness: this.health.current,
      reason: this.health.reason,
      shards: indicesOf('shard'),
      lanes: indicesOf('lane'),
    };
  }

  /** Renews the leases that are due, and with them those that are due soon. */
  private renewals(now: number): Promise<void>[] {
    const { timing, leases } = this.options;
    // Our heartbeat is overdue, so the other members already wait for our leases: do not renew them.
    if (this.heartbeatSentAt !== undefined && !timing.mayAct(this.heartbeatSentAt, now)) return [];
    const due = [...this.leases.values()].filter(
      (lease) => timing.renewAt(lease.sentAt) <= now + timing.renewEveryMs / 2,
    );
    return renewLeases(leases, timing, due, now, (lease, status) => {
      this.detectVanished(lease);
      lease.lose(status === 'nobody' ? 'the lease is gone' : 'another process holds the lease');
    });
  }

  /** Nobody can acquire a lease before it expires: if it is not ours by then, Redis has lost it. */
  private detectVanished(lease: HeldLease): void {
    const { grant } = lease;
    if (grant !== undefined && lease.needsLease && this.mayAct(grant)) this.leaseVanished = true;
  }

  /** Gives up the leases that are assigned to others, and acquires those that are assigned to this process. */
  private reconcile(): void {
    if (this.draining) return;
    this.listener?.laneCountChanged(Math.max(...this.view.map((member) => member.wants_lanes)));
    this.assigned = this.computeAssigned();
    for (const [name, lease] of this.leases) {
      if (!this.assigned.has(name) && lease.acting) void lease.giveUp();
    }
    for (const [name, resource] of this.missing()) {
      if (this.acquireBackoff.dueIn(name) <= 0) void this.acquire(name, resource);
    }
  }

  private computeAssigned(): Map<string, Resource> {
    const { shardCount, members } = this.options;
    const laneCount = Math.max(...this.view.map((member) => Math.max(member.wants_lanes, member.knows_lanes)));
    const assigned = new Map<string, Resource>();
    for (const [kind, count] of [
      ['shard', shardCount],
      ['lane', laneCount],
    ] as const) {
      const holders = this.view.map((member) => ({
        ...member,
        holds: kind === 'shard' ? member.shards : member.lanes,
      }));
      assign(holders, count).forEach((id, index) => {
        if (id === members.id) assigned.set(nameOf({ kind, index }), { kind, index });
      });
    }
    return assigned;
  }

  private missing(): [string, Resource][] {
    return [...this.assigned].filter(([name]) => !this.leases.has(name));
  }

  private async acquire(name: string, resource: Resource): Promise<void> {
    const { leases, logger, members } = this.options;
    const { listener } = this;
    if (listener === undefined) return;
    const onChange = (changed: HeldLease): void => this.onLeaseChange(changed);
    const lease = new HeldLease(resource, { leases, listener, onChange, member: members.id, logger });
    this.leases.set(name, lease);
    try {
      const outcome = await lease.acquire();
      if (outcome.kind === 'acting') this.acquireBackoff.succeeded(name);
      if (outcome.kind === 'held') this.acquireBackoff.leasedFor(name, outcome.forMs + 1);
    } catch (error) {
      const waitMs = this.acquireBackoff.failed(name);
      const about = { [resource.kind]: resource.index, member: members.id };
      logger.warn({ ...about, err: error, wait_ms: waitMs }, 'could not acquire; trying again');
    }
    this.loop.trigger();
  }

  private onLeaseChange(lease: HeldLease): void {
    if (lease.ended) this.leases.delete(lease.name);
    if (lease.grant !== undefined) this.armDeadline(this.options.timing.actUntil(lease.sentAt));
    this.loop.trigger();
  }

  private async checkForDataLoss(): Promise<void> {
    const results = await Promise.allSettled(this.options.dataLossDetectors.map((detect) => detect()));
    if (results.some((result) => result.status === 'fulfilled' && result.value))
      this.startOver('Redis has restarted, or it is another Redis or another key space');
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  /** Gives up all leases; the next rounds acquire them again. */
  private startOver(why: string): void {
    this.leaseVanished = false;
    this.options.logger.warn({ why }, 'Redis may have lost data: giving up all leases and acquiring them again');
    for (const lease of this.leases.values()) lease.lose('Redis may have lost data');
    this.listener?.possibleDataLoss();
  }

  /** Gives up the leases that were not renewed in time, and sets the timer for the next deadline. */
  private enforceDeadlines(): void {
    const { timing } = this.options;
    const now = performance.now();
    clearTimeout(this.deadline);
    this.deadlineAt = Infinity;
    loseOverdueLeases(timing, this.leases.values(), now);
    for (const lease of this.leases.values()) {
      if (lease.needsLease) this.armDeadline(timing.actUntil(lease.sentAt));
    }
    this.updateOwnedGauges();
  }

  private armDeadline(at: number): void {
    if (at >= this.deadlineAt) return;
    clearTimeout(this.deadline);
    this.deadlineAt = at;
    this.deadline = setTimeout(() => this.enforceDeadlines(), Math.max(0, at - performance.now()));
  }

  private updateOwnedGauges(): void {
    const kinds = this.grants().map(({ kind }) => kind);
    this.metrics.shardsOwned.set(kinds.filter((kind) => kind === 'shard').length);
    this.metrics.lanesOwned.set(kinds.filter((kind) => kind === 'lane').length);
  }
}
