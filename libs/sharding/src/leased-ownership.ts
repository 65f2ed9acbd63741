/**
 * Ownership in a cluster: takes part with heartbeats, works out which shards and lanes should be held here, and
 * acquires, renews and gives back their leases. A round does all of it; it runs when a lease is to be renewed, when
 * a member joined, left or changed what it holds (published by Redis), and when another's heartbeat is overdue.
 *
 * - Acting ends by this process' own clock before the lease can end in Redis (S3): by a timer, and by `mayAct`,
 *   which a process that was frozen asks before its timers have run.
 * - What was given up is acquired again only when the listener has finished with it.
 * - A Redis that is away ends the acting, not the process (S7).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Backoff, backoffMs, counter, gauge, secondsHistogram, type Logger, type Redis } from '@app/platform';
import { assign } from './assignment.js';
import type { LeaseTiming } from './lease-timing.js';
import type { Leases } from './leases.js';
import type { Announcement, Member, Members } from './members.js';
import type { Grant, Ownership, OwnershipListener } from './ownership.js';
import { nameOf, type Resource, type ShardingKeys } from './sharding-keys.js';

const changes = counter('lease_changes', 'Shards and lanes acquired, released and lost by this process.', [
  'kind',
  'change',
]);
const refusals = counter('fencing_refusals', 'Writes refused because the lease was not held any more.', ['kind']);
const shardsOwned = gauge('shards_owned', 'Shards this process acts for.');
const lanesOwned = gauge('lanes_owned', 'Lanes this process acts for.');
const handOff = secondsHistogram('hand_off_duration', 'Time to finish with a shard or lane and give it back.', [
  'kind',
]);

/** Shortest time between two rounds, in milliseconds. */
const SETTLE_MS = 10;
/** Waiting times after failures, in milliseconds. */
const RETRY = { base: 50, cap: 1000, healthyAfter: 5000 } as const;

interface Holding {
  resource: Resource;
  phase: 'acquiring' | 'acting' | 'finishing';
  /** Not acting any more, whatever is still in hand. */
  lost: boolean;
  grant: Grant | undefined;
  /** When the last renewal that succeeded was sent. */
  sentAt: number;
  /** Settles when the listener has taken it. */
  taken: Promise<void>;
}

export interface LeasedOwnershipParts {
  members: Members;
  leases: Leases;
  timing: LeaseTiming;
  keys: ShardingKeys;
  /** A connection of its own, on which changes of the members are heard. */
  subscriber: Redis;
  /** Whether data may have been lost since the last call (S0). */
  dataDoubted: () => Promise<boolean>;
  /** What is announced of this process. */
  about: Pick<Announcement, 'name' | 'wants_lanes'>;
  shardCount: number;
  logger: Logger;
}

export class LeasedOwnership implements Ownership {
  private readonly holdings = new Map<string, Holding>();
  /** Not acquired before this time: held by another, or failed. */
  private readonly blocked = new Map<string, number>();
  private readonly since = new Date().toISOString();
  private readonly backoff = new Backoff(RETRY.base, RETRY.cap, RETRY.healthyAfter);
  private listener: OwnershipListener | undefined;
  private view: readonly Member[] = [];
  private wanted: ReadonlySet<string> = new Set();
  private heardAt: number | undefined;
  private draining = false;
  private stopped = false;
  private running: Promise<void> | undefined;
  private deadline: NodeJS.Timeout | undefined;
  private poked = false;
  private wake: (() => void) | undefined;
  private failures = 0;
  private knownLanes = 0;

  constructor(private readonly parts: LeasedOwnershipParts) {}

  /** Resolves when this process takes part; what it is to hold is granted from then on. */
  async start(listener: OwnershipListener, knownLanes: number): Promise<void> {
    const { subscriber, keys } = this.parts;
    this.listener = listener;
    this.knownLanes = knownLanes;
    subscriber.on('message', () => this.poke());
    await subscriber.subscribe(keys.clusterChannel);
    this.running = this.run();
  }

  held(): readonly Grant[] {
    return [...this.holdings.values()].flatMap(({ grant, phase, lost }) =>
      grant === undefined || phase === 'acquiring' || lost ? [] : [grant],
    );
  }

  mayAct(grant: Grant): boolean {
    const holding = this.holdings.get(nameOf(grant));
    if (holding === undefined || holding.grant !== grant || holding.lost) return false;
    return this.parts.timing.mayAct(holding.sentAt, performance.now());
  }

  async confirm(grant: Grant): Promise<boolean> {
    const holds = await this.parts.leases.holds(grant);
    if (!holds) this.lost(grant);
    return holds && this.mayAct(grant);
  }

  lost(grant: Grant): void {
    const holding = this.holdings.get(nameOf(grant));
    if (holding?.grant !== grant || holding.lost) return;
    refusals.inc({ kind: grant.kind });
    this.lose(holding, 'another owner, or none, stands in Redis');
  }

  /** Why this process is not ready to serve; undefined where it acts for all it should. */
  trouble(): string | undefined {
    const { timing } = this.parts;
    if (this.heardAt === undefined || !timing.mayAct(this.heardAt, performance.now())) return 'takes no part now';
    const missing = [...this.wanted].filter((name) => this.holdings.get(name)?.phase !== 'acting').length;
    return missing === 0 ? undefined : `${missing} of ${this.wanted.size} shards and lanes not taken yet`;
  }

  async stop(): Promise<void> {
    if (this.draining) return this.running;
    this.draining = true;
    this.wanted = new Set();
    const { subscriber, members, logger } = this.parts;
    this.poke();
    // Rounds go on meanwhile: what is being finished must stay leased.
    while (this.holdings.size > 0)
      await Promise.all([...this.holdings.values()].map((holding) => this.giveUp(holding, 'released')));
    this.stopped = true;
    this.poke();
    await this.running;
    clearTimeout(this.deadline);
    await subscriber.unsubscribe().catch((error: unknown) => logger.debug({ err: error }, 'could not unsubscribe'));
    await members.leave().catch((error: unknown) => {
      logger.warn({ err: error }, 'could not leave; the others notice when the heartbeat is overdue');
    });
  }

  private noteOwned(): void {
    const kinds = this.held().map(({ kind }) => kind);
    shardsOwned.set(kinds.filter((kind) => kind === 'shard').length);
    lanesOwned.set(kinds.filter((kind) => kind === 'lane').length);
  }

  private async run(): Promise<void> {
    const { logger } = this.parts;
    while (!this.hasStopped()) {
      this.poked = false;
      let waitMs: number;
      try {
        waitMs = await this.round();
        this.backoff.succeeded();
      } catch (error) {
        waitMs = this.backoff.failed();
        logger.warn({ err: error, wait_ms: waitMs }, 'could not take part; trying again');
        // Not at once, however many changes are heard.
        this.poked = false;
      }
      await this.idle(waitMs);
      // Changes come in bursts: one round follows several.
      if (!this.hasStopped()) await sleep(SETTLE_MS);
    }
  }

  /** A method, so that each call is taken as a new answer: it may change during any `await`. */
  private hasStopped(): boolean {
    return this.stopped;
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
    if (heard.status === 'rejected') throw heard.reason;
    this.heardAt = sentAt;
    if (heard.value.members !== undefined) {
      this.view = heard.value.members;
      this.blocked.clear();
    }
    this.follow();
    for (const outcome of others) if (outcome.status === 'rejected') throw outcome.reason;
    const now = performance.now();
    const retries = [...this.blocked.values()].map((at) => at - now);
    return Math.max(0, Math.min(timing.renewEveryMs, (heard.value.nextOverdueMs ?? Infinity) + 1, ...retries));
  }

  private announcement(): Announcement {
    const held = [...this.holdings.values()].filter(({ grant, lost }) => grant !== undefined && !lost);
    const of = (kind: Resource['kind']): number[] =>
      held.flatMap(({ resource }) => (resource.kind === kind ? [resource.index] : [])).sort((a, b) => a - b);
    return {
      ...this.parts.about,
      knows_lanes: this.knownLanes,
      since: this.since,
      draining: this.draining,
      shards: of('shard'),
      lanes: of('lane'),
    };
  }

  /** Renews what is due, and what soon will be, together. */
  private renewals(now: number): Promise<void>[] {
    const { timing, leases } = this.parts;
    return [...this.holdings.values()].map(async (holding) => {
      const { grant, lost, sentAt } = holding;
      if (grant === undefined || lost || timing.renewAt(sentAt) > now + timing.renewEveryMs / 2) return;
      const holds = await leases.renew(grant);
      if (holds) holding.sentAt = now;
      else this.lose(holding, 'the lease has run out');
    });
  }

  /** Gives up what others should hold, and takes what this process should. */
  private follow(): void {
    if (this.draining) return;
    const { shardCount, members } = this.parts;
    const laneCount = Math.max(...this.view.map((member) => Math.max(member.wants_lanes, member.knows_lanes)));
    this.listener?.lanesWanted(Math.max(...this.view.map((member) => member.wants_lanes)));
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
    this.wanted = new Set(wanted.keys());
    for (const [name, holding] of this.holdings) {
      if (!wanted.has(name) && holding.phase === 'acting') void this.giveUp(holding, 'released');
    }
    const now = performance.now();
    for (const [name, resource] of wanted) {
      if (this.holdings.has(name) || (this.blocked.get(name) ?? 0) > now) continue;
      this.blocked.delete(name);
      void this.acquire(name, resource);
    }
  }

  private async acquire(name: string, resource: Resource): Promise<void> {
    const { logger, members } = this.parts;
    const about = { [resource.kind]: resource.index, member: members.id };
    const holding: Holding = {
      resource,
      phase: 'acquiring',
      lost: false,
      grant: undefined,
      sentAt: performance.now(),
      taken: Promise.resolve(),
    };
    this.holdings.set(name, holding);
    holding.taken = this.take(name, holding);
    try {
      await holding.taken;
    } catch (error) {
      const waitMs = backoffMs(this.failures++, RETRY.base, RETRY.cap);
      this.blocked.set(name, performance.now() + waitMs);
      logger.warn({ ...about, err: error, wait_ms: waitMs }, 'could not acquire; trying again');
      return this.giveUp(holding, 'released');
    }
    const { grant } = holding;
    if (holding.phase !== 'acquiring') return;
    if (grant === undefined) this.holdings.delete(name);
    else {
      holding.phase = 'acting';
      this.failures = 0;
      this.noteOwned();
      changes.inc({ kind: resource.kind, change: 'acquired' });
      logger.info({ ...about, epoch: grant.epoch }, 'acquired');
    }
    this.poke();
  }

  /** Acquires the lease and has the listener take it on; leaves no grant where another holds it. */
  private async take(name: string, holding: Holding): Promise<void> {
    const outcome = await this.parts.leases.acquire(holding.resource);
    if (outcome.kind === 'held') {
      this.blocked.set(name, performance.now() + outcome.forMs + 1);
      return;
    }
    holding.grant = outcome.grant;
    this.armDeadline();
    // It may have been given up while the answer was under way.
    if (holding.phase === 'acquiring') await this.listener?.granted(outcome.grant);
  }

  private lose(holding: Holding, why: string): void {
    if (holding.lost) return;
    holding.lost = true;
    this.noteOwned();
    const { resource, grant } = holding;
    changes.inc({ kind: resource.kind, change: 'lost' });
    this.parts.logger.warn(
      { [resource.kind]: resource.index, epoch: grant?.epoch, member: this.parts.members.id, why },
      'lost',
    );
    if (holding.phase !== 'finishing') void this.giveUp(holding, 'lost');
  }

  /** Has the listener finish, and gives the lease back where it is still ours. Never rejects. */
  private async giveUp(holding: Holding, change: 'released' | 'lost'): Promise<void> {
    const { leases, logger, members } = this.parts;
    const { resource } = holding;
    if (holding.phase === 'finishing') {
      await holding.taken;
      return;
    }
    holding.phase = 'finishing';
    const begun = performance.now();
    const about = { [resource.kind]: resource.index, member: members.id };
    const finish = async (taken: Promise<void>): Promise<void> => {
      await taken.catch(() => undefined);
      const { grant } = holding;
      if (grant === undefined) return;
      try {
        await this.listener?.revoked(grant);
      } catch (error) {
        logger.error({ ...about, epoch: grant.epoch, err: error }, 'did not finish in order');
      }
      try {
        await leases.release(grant);
        handOff.observe({ kind: resource.kind }, (performance.now() - begun) / 1000);
      } catch (error) {
        logger.warn(
          { ...about, epoch: grant.epoch, err: error },
          'could not give the lease back; it runs out by itself',
        );
      }
      if (change === 'lost' || holding.lost) return;
      changes.inc({ kind: resource.kind, change: 'released' });
      logger.info({ ...about, epoch: grant.epoch }, 'released');
    };
    holding.taken = finish(holding.taken);
    await holding.taken;
    if (this.holdings.get(nameOf(resource)) === holding) this.holdings.delete(nameOf(resource));
    this.noteOwned();
    this.poke();
  }

  private async checkData(): Promise<void> {
    if (!(await this.parts.dataDoubted())) return;
    this.parts.logger.warn('another Redis, or another run of it, answers: data may be lost; taking part anew');
    for (const holding of this.holdings.values()) this.lose(holding, 'Redis may have lost data');
    this.listener?.dataDoubted();
  }

  private enforceDeadlines(): void {
    const now = performance.now();
    for (const holding of this.holdings.values()) {
      if (holding.grant !== undefined && !this.parts.timing.mayAct(holding.sentAt, now))
        this.lose(holding, 'the lease could not be renewed in time');
    }
    this.armDeadline();
  }

  private armDeadline(): void {
    clearTimeout(this.deadline);
    const times = [...this.holdings.values()].flatMap(({ grant, lost, sentAt }) =>
      grant === undefined || lost ? [] : [this.parts.timing.actUntil(sentAt)],
    );
    if (times.length === 0) return;
    this.deadline = setTimeout(() => this.enforceDeadlines(), Math.max(0, Math.min(...times) - performance.now()));
  }

  private poke(): void {
    this.poked = true;
    this.wake?.();
  }

  /** Waits for the next round, or until something has happened. */
  private async idle(ms: number): Promise<void> {
    if (this.poked) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.wake = undefined;
  }
}
