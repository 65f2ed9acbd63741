/**
 * Ownership in a cluster: takes part with heartbeats, works out which shards and lanes should be held here, and
 * acquires, renews and gives back their leases. A round does all of it; it runs when a lease is to be renewed, when
 * a member joined, left or changed what it holds (published by Redis), and when another's heartbeat is overdue.
 *
 * - Acting ends by this process' own clock before the lease can end in Redis (S3): by a timer, and by `mayAct`,
 *   which a process that was frozen asks before its timers have run.
 * - What was given up is acquired again only when the listener has finished with it.
 * - A Redis that is away ends the acting, not the process (S7).
 * - A lease that is gone though it cannot have run out says that Redis has lost data (S0), as does whatever else
 *   `doubts` watch: everything is given up, the listener is notified, and all of it is acquired again.
 */
import { Backoff, type Logger, type Redis } from '@app/platform';
import { assign } from './assignment.js';
import { AcquireBackoff } from './acquire-backoff.js';
import { MemberHealthWatch } from './member-health.js';
import { HeldLease } from './held-lease.js';
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
  /** A connection of its own, on which changes of the members are received. */
  subscriber: Redis;
  /** Each says whether data may have been lost since its last call (S0). */
  dataLossDetectors: readonly (() => Promise<boolean>)[];
  /** Whether something else than Redis keeps this process from its work now. */
  isDegraded: () => boolean;
  /** How many lanes may have sessions at the broker, as it was read last; undefined if that is not known. */
  knownLanes?: () => number | undefined;
  /** What is announced of this process. */
  about: Pick<Announcement, 'name' | 'wants_lanes' | 'format'>;
  shardCount: number;
  logger: Logger;
}

export class LeasedOwnership implements Ownership {
  private readonly metrics = ownershipMetrics();
  private readonly holdings = new Map<string, HeldLease>();
  private readonly attempts = new AcquireBackoff();
  private readonly rounds: ReconcileLoop;
  private readonly fitness: MemberHealthWatch;
  /** Of rounds in which Redis answered in part. */
  private readonly partly: Backoff;
  private readonly since = new Date().toISOString();
  private listener: OwnershipListener | undefined;
  private view: readonly Member[] = [];
  private wanted: ReadonlyMap<string, Resource> = new Map();
  private heardAt: number | undefined;
  private draining = false;
  /** A lease has vanished before its time. */
  private vanished = false;
  private deadline: NodeJS.Timeout | undefined;
  private deadlineAt = Infinity;
  private knownLanes = 0;

  constructor(private readonly parts: LeasedOwnershipOptions) {
    const { leaseMs, renewEveryMs } = parts.timing;
    this.rounds = new ReconcileLoop(() => this.round(), parts.logger);
    this.fitness = new MemberHealthWatch(leaseMs);
    this.partly = new Backoff(50, renewEveryMs, leaseMs);
  }

  /** Resolves when this process takes part; what it is to hold is granted from then on. */
  async start(listener: OwnershipListener, knownLanes: number): Promise<void> {
    const { subscriber, keys } = this.parts;
    this.listener = listener;
    this.knownLanes = knownLanes;
    subscriber.on('message', () => this.rounds.trigger());
    await subscriber.subscribe(keys.clusterChannel);
    this.rounds.start();
  }

  held(): readonly Grant[] {
    return [...this.holdings.values()].flatMap(({ grant, acquiring }) =>
      grant === undefined || acquiring ? [] : [grant],
    );
  }

  mayAct(grant: Grant): boolean {
    const holding = this.holdings.get(nameOf(grant));
    return holding?.grant === grant && this.parts.timing.mayAct(holding.sentAt, performance.now());
  }

  async confirm(grant: Grant): Promise<boolean> {
    const holds = (await this.parts.leases.status(grant)) === 'ours';
    if (!holds) this.lost(grant);
    return holds && this.mayAct(grant);
  }

  lost(grant: Grant, how: 'refused' | 'overdue' = 'refused'): void {
    const holding = this.holdings.get(nameOf(grant));
    if (holding?.grant !== grant) return;
    if (how === 'overdue') {
      holding.lose('the lease could not be renewed in time');
      return;
    }
    this.metrics.refusals.inc({ kind: grant.kind });
    this.noteVanished(holding);
    holding.lose('Redis names another owner, or none');
  }

  /** Why this process is not ready to serve; undefined if it acts for all it should. */
  trouble(): string | undefined {
    const { timing } = this.parts;
    if (this.heardAt === undefined || !timing.mayAct(this.heardAt, performance.now()))
      return 'not a member now: Redis has not answered a heartbeat in time';
    const missing = [...this.wanted.keys()].filter((name) => this.holdings.get(name)?.acting !== true).length;
    return missing === 0 ? undefined : `${missing} of ${this.wanted.size} shards and lanes not taken yet`;
  }

  async stop(): Promise<void> {
    this.draining = true;
    this.wanted = new Map();
    this.rounds.trigger();
    // Rounds go on until then: what is being finished must stay leased.
    await Promise.all([...this.holdings.values()].map((holding) => holding.giveUp()));
    await this.rounds.stop();
    clearTimeout(this.deadline);
    await this.parts.members.leave().catch((error: unknown) => {
      this.parts.logger.warn({ err: error }, 'could not leave; the others notice when the heartbeat is overdue');
    });
  }

  /** @returns milliseconds until the next round is due at the latest. */
  private async round(): Promise<number> {
    const { members, timing } = this.parts;
    const sentAt = performance.now();
    const [heard, ...others] = await Promise.allSettled([
      members.heartbeat(this.announcement()),
      this.checkData(),
      ...this.renewals(sentAt),
    ]);
    this.enforceDeadlines();
    if (heard.status === 'rejected') {
      this.fitness.interrupted();
      throw heard.reason;
    }
    this.heardAt = sentAt;
    this.knownLanes = this.parts.knownLanes?.() ?? this.knownLanes;
    if (heard.value.members !== undefined) {
      this.view = heard.value.members;
      this.attempts.holdersChanged();
    }
    if (this.vanished) this.doubtData('leases have vanished before their time');
    this.follow();
    const retries = this.missing().map(([name]) => this.attempts.dueIn(name));
    const dueIn = Math.min(timing.renewEveryMs, (heard.value.nextOverdueMs ?? Infinity) + 1, ...retries);
    return Math.max(0, Math.min(dueIn, this.noteFitness(others)));
  }

  /** @returns milliseconds until what did not succeed is tried again. */
  private noteFitness(outcomes: readonly PromiseSettledResult<unknown>[]): number {
    const { logger, members, isDegraded } = this.parts;
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    const othersFit = this.view.some(
      ({ id, draining, fitness }) => id !== members.id && !draining && fitness === 'fit',
    );
    const before = this.fitness.current;
    this.fitness.note(isDegraded() || failed !== undefined, othersFit, performance.now());
    const now = this.fitness.current;
    if (now !== before) {
      logger.info({ member: members.id, before, now }, 'fitness changed');
      this.metrics.unfit.set(now === 'unfit' ? 1 : 0);
      this.rounds.trigger();
    }
    if (failed === undefined) {
      this.partly.succeeded();
      return Infinity;
    }
    const waitMs = this.partly.failed();
    logger.warn({ err: failed.reason, wait_ms: waitMs }, 'a part of Redis does not answer; trying again');
    return waitMs;
  }

  private announcement(): Announcement {
    const leased = [...this.holdings.values()].filter(({ grant }) => grant !== undefined);
    const of = (kind: Resource['kind']): number[] =>
      leased.flatMap(({ resource }) => (resource.kind === kind ? [resource.index] : [])).sort((a, b) => a - b);
    return {
      ...this.parts.about,
      knows_lanes: this.knownLanes,
      since: this.since,
      draining: this.draining,
      fitness: this.fitness.current,
      shards: of('shard'),
      lanes: of('lane'),
    };
  }

  /** Renews what is due, and what soon will be, together. */
  private renewals(now: number): Promise<void>[] {
    const { timing, leases } = this.parts;
    // A process without heartbeats is no member: the members wait for what it holds.
    if (this.heardAt !== undefined && !timing.mayAct(this.heardAt, now)) return [];
    return [...this.holdings.values()].map(async (holding) => {
      const { grant } = holding;
      if (grant === undefined || !holding.needsLease) return;
      if (timing.renewAt(holding.sentAt) > now + timing.renewEveryMs / 2) return;
      // What waits for a part of Redis that is away may never be finished: others take over when the lease has run out.
      if (holding.finishingFor(now) > timing.leaseMs) return;
      const standing = await leases.renew(grant);
      if (standing === 'ours') {
        holding.renewed(now);
        return;
      }
      this.noteVanished(holding);
      holding.lose(standing === 'nobody' ? 'the lease is gone' : 'Redis names another owner');
    });
  }

  /** Nobody can have taken a lease before its time: if it is not ours, Redis has lost it. */
  private noteVanished(holding: HeldLease): void {
    const { grant } = holding;
    if (grant !== undefined && holding.needsLease && this.mayAct(grant)) this.vanished = true;
  }

  /** Gives up what others should hold, and takes what this process should. */
  private follow(): void {
    if (this.draining) return;
    this.listener?.lanesWanted(Math.max(...this.view.map((member) => member.wants_lanes)));
    this.wanted = this.assigned();
    for (const [name, holding] of this.holdings) {
      if (!this.wanted.has(name) && holding.acting) void holding.giveUp();
    }
    for (const [name, resource] of this.missing()) {
      if (this.attempts.dueIn(name) <= 0) void this.acquire(name, resource);
    }
  }

  /** What this process should hold, as the members stand. */
  private assigned(): Map<string, Resource> {
    const { shardCount, members } = this.parts;
    const laneCount = Math.max(...this.view.map((member) => Math.max(member.wants_lanes, member.knows_lanes)));
    const wanted = new Map<string, Resource>();
    for (const [kind, count] of [
      ['shard', shardCount],
      ['lane', laneCount],
    ] as const) {
      const holders = this.view.map((one) => ({ ...one, holds: kind === 'shard' ? one.shards : one.lanes }));
      assign(holders, count).forEach((id, index) => {
        if (id === members.id) wanted.set(nameOf({ kind, index }), { kind, index });
      });
    }
    return wanted;
  }

  private missing(): [string, Resource][] {
    return [...this.wanted].filter(([name]) => !this.holdings.has(name));
  }

  private async acquire(name: string, resource: Resource): Promise<void> {
    const { leases, logger, members } = this.parts;
    const { listener } = this;
    if (listener === undefined) return;
    const changed = (one: HeldLease): void => this.changed(one);
    const holding = new HeldLease(resource, { leases, listener, changed, member: members.id, logger });
    this.holdings.set(name, holding);
    try {
      const outcome = await holding.acquire();
      if (outcome.kind === 'acting') this.attempts.succeeded(name);
      if (outcome.kind === 'held') this.attempts.heldFor(name, outcome.forMs + 1);
    } catch (error) {
      const waitMs = this.attempts.failed(name);
      const about = { [resource.kind]: resource.index, member: members.id };
      logger.warn({ ...about, err: error, wait_ms: waitMs }, 'could not acquire; trying again');
    }
    this.rounds.trigger();
  }

  private changed(holding: HeldLease): void {
    if (holding.ended) this.holdings.delete(holding.name);
    if (holding.grant !== undefined) this.armDeadline(this.parts.timing.actUntil(holding.sentAt));
    this.rounds.trigger();
  }

  private async checkData(): Promise<void> {
    const answers = await Promise.allSettled(this.parts.dataLossDetectors.map((ask) => ask()));
    if (answers.some((answer) => answer.status === 'fulfilled' && answer.value))
      this.doubtData('another Redis, another run of it, or another key space answers');
    for (const answer of answers) if (answer.status === 'rejected') throw answer.reason;
  }

  private doubtData(why: string): void {
    this.vanished = false;
    this.parts.logger.warn({ why }, 'Redis may have lost data: giving up all leases and acquiring them again');
    for (const holding of this.holdings.values()) holding.lose('Redis may have lost data');
    this.listener?.possibleDataLoss();
  }

  private enforceDeadlines(): void {
    const { timing } = this.parts;
    const now = performance.now();
    clearTimeout(this.deadline);
    this.deadlineAt = Infinity;
    for (const holding of this.holdings.values()) {
      if (!holding.needsLease) continue;
      if (timing.mayAct(holding.sentAt, now)) this.armDeadline(timing.actUntil(holding.sentAt));
      else holding.lose('the lease could not be renewed in time');
    }
    this.noteOwned();
  }

  private armDeadline(at: number): void {
    if (at >= this.deadlineAt) return;
    clearTimeout(this.deadline);
    this.deadlineAt = at;
    this.deadline = setTimeout(() => this.enforceDeadlines(), Math.max(0, at - performance.now()));
  }

  private noteOwned(): void {
    const kinds = this.held().map(({ kind }) => kind);
    this.metrics.shardsOwned.set(kinds.filter((kind) => kind === 'shard').length);
    this.metrics.lanesOwned.set(kinds.filter((kind) => kind === 'lane').length);
  }
}
