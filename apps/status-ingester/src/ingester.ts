/**
 * Acts for what this process owns: a granted shard is read by the owner loop, a granted lane is opened. Stops in the
 * order of S6: unready, stop reading, store and acknowledge what was read, apply what is in hand, give back.
 */
import { Inject, Injectable, type BeforeApplicationShutdown, type OnApplicationShutdown } from '@nestjs/common';
import type { BrokerWatch, Publisher, RetainedReader } from '@app/broker';
import {
  assertRedisRequirements,
  closeRedis,
  sharedAbort,
  type Logger,
  type MemoryWatch,
  type Redis,
} from '@app/platform';
import {
  claimKeySpace,
  claimLanes,
  shardMoved,
  type LaneRegistration,
  type Maintenance,
  type Migration,
  type RegistryKeys,
  type WakeUps,
} from '@app/registry';
import type { FencedCommit, Grant, LeasedOwnership, Mailboxes, OwnerLoop, OwnershipListener } from '@app/sharding';
import type { MaintenanceWorker } from './reconciliation/maintenance-worker.js';
import type { SweepTriggers } from './reconciliation/sweep-triggers.js';
import type { AccountQuestions } from './accounts/account-questions.js';
import type { Verifier } from './reconciliation/verifier.js';
import type { LaneMarkers } from './intake/lane-markers.js';
import type { LaneStrategy } from './intake/lane.strategy.js';
import type { LaneWatch } from './intake/lane-watch.js';
import type { ByteRecount } from './shard/byte-recount.js';
import type { ToDoRunner } from './shard/todo-runner.js';
import type { EventRetention } from './shard/event-retention.js';
import type { Housekeeping } from './shard/housekeeping.js';

export const INGESTER_PARTS = Symbol('INGESTER_PARTS');

/** Everything the ingester is made of, wired in `ingester.module.ts`. */
export interface IngesterParts {
  redis: Redis;
  /** Every connection to Redis, `redis` included; closed last. */
  connections: readonly Redis[];
  publisher: Publisher;
  reader: RetainedReader;
  verifier: Verifier;
  maintenance: Maintenance;
  triggers: SweepTriggers;
  worker: MaintenanceWorker;
  watch: BrokerWatch;
  /** Undefined where accounts are not in use. */
  accounts: AccountQuestions | undefined;
  ownership: LeasedOwnership;
  /** This process among the members of the cluster. */
  memberId: string;
  migration: Migration;
  commits: FencedCommit;
  mailboxes: Mailboxes;
  markers: LaneMarkers;
  lanes: LaneStrategy;
  laneWatch: LaneWatch;
  loop: OwnerLoop;
  effects: ToDoRunner;
  housekeeping: Housekeeping;
  memory: MemoryWatch;
  recount: ByteRecount;
  eventRetention: EventRetention;
  wakeUps: WakeUps;
  keys: RegistryKeys;
  shardCount: number;
  laneCount: number;
  /** `SHARE_GROUP`, where it is set. */
  shareGroup: string | undefined;
  logger: Logger;
}

interface Claimed extends LaneRegistration {
  /** The key space's format. */
  format: number;
}

@Injectable()
export class Ingester implements OwnershipListener, BeforeApplicationShutdown, OnApplicationShutdown {
  private claimed: Promise<Claimed> | undefined;
  private standingBy = false;
  private readonly stopping = sharedAbort();

  constructor(@Inject(INGESTER_PARTS) private readonly parts: IngesterParts) {}

  /** Whether it takes no part because ingesters of an older release do. */
  get standsBy(): boolean {
    return this.standingBy;
  }

  /** @throws UnfitRedisError, KeySpaceError */
  async start(): Promise<void> {
    const { redis, ownership, housekeeping, triggers, worker } = this.parts;
    await assertRedisRequirements(redis);
    const { sessions } = await this.claimOnce();
    if (!(await this.standBy())) return;
    await ownership.start(this, sessions);
    await this.parts.memory.start();
    housekeeping.start();
    this.parts.recount.start();
    this.parts.eventRetention.start();
    triggers.start();
    worker.start();
    this.parts.laneWatch.start();
  }

  async granted(grant: Grant): Promise<void> {
    const { lanes, loop, mailboxes, migration, ownership, shardCount } = this.parts;
    // Where the key space does not fit, nothing is acted for.
    const { format } = await this.claimOnce();
    if (grant.kind === 'shard') {
      await migration.migrate(grant, format);
      await this.tellMoved(grant);
      return loop.add(grant);
    }
    await mailboxes.announce(grant, shardCount);
    lanes.open(grant, ownership);
  }

  /** Again only where what was claimed may be lost, or the claim has failed. */
  private claimOnce(): Promise<Claimed> {
    this.claimed ??= this.claim().catch((error: unknown) => {
      this.claimed = undefined;
      throw error;
    });
    return this.claimed;
  }

  /** Sets the key space up where it is new, with the share group in use: its name is part of the lanes' sessions. */
  private async claim(): Promise<Claimed> {
    const { redis, keys, shardCount, laneCount, lanes, shareGroup, logger } = this.parts;
    const { format } = await claimKeySpace(redis, keys, shardCount);
    const noted = await claimLanes(redis, keys, laneCount, shareGroup ?? lanes.group);
    const group = shareGroup ?? noted.shareGroup;
    if (lanes.group !== undefined && lanes.group !== group)
      logger.warn('another share group is noted than the one in use: the old lanes stay at the broker until removed');
    lanes.group = group;
    return { ...noted, format };
  }

  /** Waits for ingesters of an older release to end. @returns whether to take part: false if this process stops. */
  private async standBy(): Promise<boolean> {
    const { signal } = this.stopping;
    this.standingBy = true;
    try {
      await this.parts.migration.untilOlderMembersAreGone(signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    this.standingBy = false;
    return !signal.aborted;
  }

  async revoked(grant: Grant): Promise<void> {
    const { lanes, loop } = this.parts;
    if (grant.kind === 'shard') await loop.remove(grant);
    else await lanes.drop(grant);
  }

  lanesWanted(count: number): void {
    this.parts.lanes.want(count);
  }

  possibleDataLoss(): void {
    this.claimed = undefined;
    this.parts.logger.warn('what Redis held may be lost in part: connections may differ from the broker');
    this.parts.triggers.dataDoubted();
  }

  /** By now the process is unready; the others take over as soon as each shard and lane is given back. */
  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    this.parts.laneWatch.stop();
    const { housekeeping, memory, recount, eventRetention, worker } = this.parts;
    // What it holds is handed over while its job ends: a worker may take long to close.
    const closing = worker.stop();
    memory.stop();
    await Promise.all([housekeeping.stop(), recount.stop(), eventRetention.stop()]);
    await this.parts.ownership.stop();
    await closing;
  }

  async onApplicationShutdown(): Promise<void> {
    const { loop, effects, accounts, verifier, reader, publisher, wakeUps, maintenance, triggers, watch, connections } =
      this.parts;
    await loop.stop();
    await effects.stop();
    await Promise.all([accounts?.stop(), verifier.stop(), reader.close(), triggers.stop(), watch.close()]);
    await publisher.close();
    await Promise.all([wakeUps.close(), maintenance.close()]);
    await Promise.all(connections.map((connection) => closeRedis(connection)));
  }

  private async tellMoved(grant: Grant): Promise<void> {
    const { commits, keys, memberId } = this.parts;
    const position = await commits.position(grant.index);
    await commits.commit(grant, position, position, [shardMoved(keys, grant.index, grant.epoch, memberId)]);
  }
}
