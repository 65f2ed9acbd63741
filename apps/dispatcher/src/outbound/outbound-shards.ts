/**
 * The shards whose outbound sides this dispatcher owns. A shard is activated by a wake-up, or when this dispatcher finds that it
 * has work and no owner; without work it is given back.
 *
 * - A dispatcher holds its share of the shards at most: their number divided by the dispatchers that are connected to the broker.
 *   It gives back what is above.
 * - Without a connection to the broker it holds none, so that others can take them. It still measures what waits.
 */
import { Backoff, gauge, type Logger, type Redis } from '@app/platform';
import {
  dueShards,
  type ClaimEntry,
  type DueShard,
  type RegistryKeys,
  type SendingTimes,
  type WakeUps,
} from '@app/registry';
import {
  HeldLease,
  loseOverdueLeases,
  ownershipMetrics,
  renewLeases,
  type DispatcherAnnouncement,
  type Grant,
  type LeaseTiming,
  type Leases,
  type Members,
} from '@app/sharding';
import { exposeBacklog } from './backlog-gauges.js';
import { NextCheck } from './next-check.js';
import { CHECK_MS } from './outbound-times.js';
import type { OutboundDependencies } from './outbound-dependencies.js';
import { OutboundShard } from './outbound-shard.js';

const ownedShards = gauge('outbound_shards_owned', 'Shards whose outbound sides this dispatcher owns.');

export interface OutboundShardsOptions {
  dependencies: OutboundDependencies;
  redis: Redis;
  keys: RegistryKeys;
  shardCount: number;
  leases: Leases;
  members: Members<DispatcherAnnouncement>;
  name: string;
  timing: LeaseTiming;
  wakeUps: Pick<WakeUps, 'wake'>;
  sendingTimes: Pick<SendingTimes, 'add'>;
  logger: Logger;
}

/** Why a shard was not activated. `full`: this dispatcher has its share. `away`: it takes no shards now. */
export type Activation = 'active' | 'owned' | 'full' | 'away';

interface Active {
  lease: HeldLease;
  shard: OutboundShard | undefined;
}

export class OutboundShards {
  private readonly metrics = ownershipMetrics();
  private readonly active = new Map<number, Active>();
  private readonly backoff: Backoff;
  private readonly since = new Date().toISOString();
  private dispatchers = 1;
  private isStarted = false;
  private isStopping = false;
  private heartbeatAt = -Infinity;
  private readonly nextCheck: NextCheck;
  /** Shards that were to be activated while they were being given back. */
  private readonly wantedAgain = new Set<number>();
  private timer: NodeJS.Timeout | undefined;
  private timerAt = 0;
  private round: Promise<void> | undefined;
  private changed: () => void = () => undefined;

  constructor(private readonly options: OutboundShardsOptions) {
    const { renewEveryMs, leaseMs } = options.timing;
    this.backoff = new Backoff(50, renewEveryMs, leaseMs);
    this.nextCheck = new NextCheck(renewEveryMs / 2);
    exposeBacklog(undefined);
  }

  start(): void {
    this.isStarted = true;
    this.schedule(0);
  }

  /** Gives everything back, and leaves the dispatchers. */
  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all([...this.active.values()].map(({ lease }) => lease.giveUp()));
    clearTimeout(this.timer);
    await this.round;
    clearTimeout(this.timer);
    const { members, logger } = this.options;
    const left = members.leave().catch((error: unknown) => {
      logger.warn({ err: error }, 'could not leave the dispatchers; the others notice it by the heartbeat');
    });
    await Promise.all([left, this.addSendingTimes()]);
  }

  /** Whether the dispatcher takes part: Redis has answered its last heartbeats. */
  get running(): boolean {
    return this.isStarted && performance.now() < this.heartbeatAt + 3 * CHECK_MS;
  }

  /** The connection to the broker is there again. */
  connected(): void {
    this.nextCheck.request();
    this.schedule(0);
  }

  /** The connection to the broker has ended: what was written is completed, and all shards are given back. */
  disconnected(): void {
    for (const { lease } of this.active.values()) void lease.giveUp();
    this.schedule(0);
  }

  /** The entry after which to read the claims of each active shard. */
  positions(): Map<number, string> {
    const positions = new Map<number, string>();
    for (const [index, { shard }] of this.active) {
      const position = shard?.position;
      if (position !== undefined) positions.set(index, position);
    }
    return positions;
  }

  async receive(index: number, entries: readonly ClaimEntry[]): Promise<void> {
    await this.active.get(index)?.shard?.receive(entries);
  }

  /** Calls `listener` when a further shard is to be read. */
  onActivated(listener: () => void): void {
    this.changed = listener;
  }

  async activate(index: number): Promise<Activation> {
    const active = this.active.get(index);
    if (active !== undefined) {
      if (!active.lease.acting || active.shard?.isPassivating === true) this.wantedAgain.add(index);
      return 'active';
    }
    if (!this.takesShards) return 'away';
    if (this.active.size >= this.share) return 'full';
    const { leases, logger, members } = this.options;
    const lease: HeldLease = new HeldLease(
      { kind: 'outbound', index },
      {
        leases,
        listener: {
          granted: (grant) => this.begin(grant, lease),
          revoked: (grant) => this.finish(grant, lease),
        },
        onChange: () => {
          if (lease.ended && this.active.get(index)?.lease === lease) this.ended(index);
          ownedShards.set([...this.active.values()].filter((one) => one.lease.acting).length);
        },
        member: members.id,
        logger,
      },
    );
    this.active.set(index, { lease, shard: undefined });
    this.schedule(this.options.timing.renewEveryMs);
    const outcome = await lease.acquire();
    return outcome.kind === 'acting' ? 'active' : 'owned';
  }

  private ended(index: number): void {
    this.active.delete(index);
    if (this.wantedAgain.delete(index)) this.tryToActivate(index);
  }

  private tryToActivate(shard: number): void {
    this.activate(shard).catch((error: unknown) => {
      this.options.logger.warn({ err: error, shard }, 'could not activate the outbound side of a shard; trying again');
    });
  }

  private get takesShards(): boolean {
    return this.isStarted && this.idleReason === undefined;
  }

  private get idleReason(): DispatcherAnnouncement['reason'] {
    if (this.isStopping) return 'stopping';
    return this.options.dependencies.isConnected() ? undefined : 'broker-unreachable';
  }

  private get share(): number {
    return Math.ceil(this.options.shardCount / Math.max(1, this.dispatchers));
  }

  private async begin(grant: Grant, lease: HeldLease): Promise<void> {
    const { dependencies, timing } = this.options;
    const shard = new OutboundShard(dependencies, {
      grant,
      leaseMs: timing.leaseMs,
      actUntil: () => (lease.grant === undefined ? -Infinity : timing.actUntil(lease.sentAt)),
      lost: () => {
        this.metrics.refusals.inc({ kind: 'outbound' });
        lease.lose('Redis refused a step: another dispatcher has the lease, or nobody does');
      },
      failed: (error) => {
        this.options.logger.error({ shard: grant.index, err: error }, 'the outbound side of a shard failed');
        lease.lose('its work has ended with an error');
      },
      passivated: () => void lease.giveUp(),
    });
    const active = this.active.get(grant.index);
    if (active?.lease === lease) active.shard = shard;
    this.wantedAgain.delete(grant.index);
    await shard.start();
    this.changed();
  }

  private async finish(grant: Grant, lease: HeldLease): Promise<void> {
    const active = this.active.get(grant.index);
    if (active?.lease !== lease || active.shard === undefined) return;
    const release = await active.shard.finish(lease.grant === undefined);
    if (release === 'due') await this.options.wakeUps.wake([grant.index]);
  }

  /** Begins a round after this time, unless one begins earlier. The broker may be there before this has been started. */
  private schedule(ms: number): void {
    if (!this.isStarted) return;
    const at = performance.now() + ms;
    if (this.timer !== undefined && at >= this.timerAt) return;
    clearTimeout(this.timer);
    this.timerAt = at;
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.round ??= this.runRound().finally(() => (this.round = undefined));
    }, ms);
  }

  /** Renews the leases, sends a heartbeat, and looks for shards without an owner. */
  private async runRound(): Promise<void> {
    const { timing, logger } = this.options;
    let nextMs = CHECK_MS;
    try {
      const now = performance.now();
      loseOverdueLeases(timing, this.ownLeases, now);
      const [, due] = await Promise.all([this.renew(now), this.nextCheck.begins(now) ? this.check(now) : undefined]);
      this.giveBackAboveShare();
      if (due !== undefined) {
        const dueInMs = Math.min(this.activateDue(due.shards), due.dispatcherOverdueInMs);
        this.nextCheck.ended(now, dueInMs);
        nextMs = Math.min(nextMs, dueInMs);
      }
      this.backoff.succeeded();
    } catch (error) {
      nextMs = this.backoff.failed();
      this.nextCheck.request();
      exposeBacklog(undefined);
      logger.warn({ err: error, wait_ms: nextMs }, 'Redis does not answer the dispatcher; trying again');
    }
    if (this.isStopping && this.active.size === 0) return;
    this.schedule(this.active.size > 0 ? Math.min(nextMs, timing.renewEveryMs) : nextMs);
  }

  private get ownLeases(): HeldLease[] {
    return [...this.active.values()].map(({ lease }) => lease);
  }

  private async renew(now: number): Promise<void> {
    const { leases, timing } = this.options;
    const renewed = renewLeases(leases, timing, this.ownLeases, now, (lease, status) => {
      const active = this.active.get(lease.resource.index);
      // Its passivation may have released it; if not, the reply to that says that the lease is lost.
      if (active?.lease === lease && active.shard?.isPassivating === true) return;
      lease.lose(status === 'nobody' ? 'the lease is gone' : 'another dispatcher has the lease');
    });
    await Promise.all(renewed);
  }

  /** @returns the shards that have work, and milliseconds until another dispatcher counts as gone, so that its share is free */
  private async check(now: number): Promise<{ shards: DueShard[]; dispatcherOverdueInMs: number }> {
    const { members, name, redis, keys, shardCount } = this.options;
    const [{ members: all, nextOverdueMs = Infinity }, shards] = await Promise.all([
      members.heartbeat({ name, since: this.since, takes_shards: this.takesShards, reason: this.idleReason }),
      dueShards(redis, keys, shardCount),
      this.addSendingTimes(),
    ]);
    this.heartbeatAt = now;
    exposeBacklog(shards);
    if (all !== undefined) this.dispatchers = all.filter(({ takes_shards }) => takes_shards).length;
    return { shards: this.takesShards ? shards : [], dispatcherOverdueInMs: nextOverdueMs + 1 };
  }

  /** Never fails: statistics must not keep a dispatcher from its shards. */
  private async addSendingTimes(): Promise<void> {
    const { sendingTimes, logger } = this.options;
    try {
      await sendingTimes.add();
    } catch (error) {
      logger.warn({ err: error }, 'could not add the times of sending to the statistics; trying again');
    }
  }

  private giveBackAboveShare(): void {
    const owned = [...this.active.values()].filter(({ lease }) => lease.acting);
    for (const { lease } of owned.slice(this.share)) void lease.giveUp();
  }

  /** @returns milliseconds until another shard may need an owner */
  private activateDue(due: readonly DueShard[]): number {
    let nextMs = Infinity;
    for (const { shard, leaseMs, dueInMs } of due) {
      if (this.active.has(shard)) continue;
      const waitMs = Math.max(leaseMs === undefined ? 0 : leaseMs + 1, dueInMs);
      if (waitMs > 0) nextMs = Math.min(nextMs, waitMs);
      else this.tryToActivate(shard);
    }
    return nextMs;
  }
}
