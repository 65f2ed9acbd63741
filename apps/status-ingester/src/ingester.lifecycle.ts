/**
 * An ingester starts from top to bottom and stops from bottom to top. It listens for probes first, and acquires shards and lanes
 * when the broker and its key space have been checked. A stop keeps S6: turn unready, stop reading, store and acknowledge what
 * was read, apply the current batches, release the leases. Readers, queues and connections close last, since those steps use
 * them.
 */
import { Inject, Injectable } from '@nestjs/common';
import { BrokerGate, BrokerWatch, Publisher, RetainedReader } from '@app/broker';
import {
  Draining,
  LOGGER,
  Lifecycle,
  MemoryWatch,
  REDIS,
  RedisConnections,
  SERVERS,
  SETTINGS,
  assertRedisRequirements,
  type CommonSettings,
  type Logger,
  type Redis,
} from '@app/platform';
import { Maintenance, WakeUps } from '@app/registry';
import { LeasedOwnership, OwnerLoop } from '@app/sharding';
import { AccountLookups } from './accounts/account-lookups.js';
import { CheckRecorder } from './broker/check-recorder.js';
import { QueueLimit } from './broker/queue-limit.js';
import { LaneWatch } from './intake/lane-watch.js';
import { GrantListener } from './ownership/grant.listener.js';
import { KeySpaceClaim } from './ownership/key-space-claim.js';
import { StandBy } from './ownership/stand-by.js';
import { MaintenanceWorker } from './reconciliation/maintenance-worker.js';
import { SweepTriggers } from './reconciliation/sweep-triggers.js';
import { Verifier } from './reconciliation/verifier.js';
import { ByteRecount } from './shard/byte-recount.js';
import { EventRetention } from './shard/event-retention.js';
import { Housekeeping } from './shard/housekeeping.js';
import { ToDoRunner } from './shard/todo-runner.js';

/** How long the maintenance worker may take to close. */
const WORKER_CLOSE_MS = 6000;

@Injectable()
export class IngesterLifecycle extends Lifecycle {
  constructor(
    connections: RedisConnections,
    @Inject(REDIS) redis: Redis,
    wakeUps: WakeUps,
    maintenance: Maintenance,
    publisher: Publisher,
    @Inject(BrokerGate) gate: Pick<BrokerGate, 'start' | 'stop'>,
    watch: BrokerWatch,
    triggers: SweepTriggers,
    reader: RetainedReader,
    verifier: Verifier,
    @Inject(AccountLookups) accounts: AccountLookups | undefined,
    todos: ToDoRunner,
    loop: OwnerLoop,
    keySpace: KeySpaceClaim,
    standBy: StandBy,
    worker: MaintenanceWorker,
    ownership: LeasedOwnership,
    listener: GrantListener,
    memory: MemoryWatch,
    housekeeping: Housekeeping,
    recount: ByteRecount,
    eventRetention: EventRetention,
    laneWatch: LaneWatch,
    checks: CheckRecorder,
    queueLimit: QueueLimit,
    @Inject(SETTINGS) { SHUTDOWN_GRACE }: CommonSettings,
    draining: Draining,
    @Inject(LOGGER) logger: Logger,
  ) {
    super(
      [
        { name: 'connections to Redis', stop: () => connections.close() },
        { name: 'queues', stop: () => Promise.all([wakeUps.close(), maintenance.close()]) },
        { name: 'publisher', stop: () => publisher.close() },
        { name: 'record of the broker', stop: () => checks.stop() },
        { name: 'accounts', stop: () => accounts?.stop() },
        { name: 'broker watch', stop: () => watch.close() },
        { name: 'requests for sweeps', stop: () => triggers.stop() },
        // Closing the reader ends a read that is in progress.
        { name: 'verifications', stop: () => Promise.all([verifier.stop(), reader.close()]) },
        { name: 'to-dos', stop: () => todos.stop() },
        { name: 'owner loop', stop: () => loop.stop() },
        SERVERS,
        { name: 'requirements on the broker', start: () => gate.start(), stop: () => gate.stop() },
        { name: 'requirements on Redis', start: () => assertRedisRequirements(redis) },
        { name: 'key space', start: () => keySpace.current() },
        { name: 'ingesters of an older release', start: (stopping) => standBy.untilAlone(stopping) },
        // It stops when the shards have been handed over: it may wait for a broker that is away.
        { name: 'queue limit of the broker', start: () => queueLimit.start(), stop: () => queueLimit.stop() },
        { name: 'end of the maintenance job', stop: () => worker.stop(), stopWithinMs: WORKER_CLOSE_MS },
        {
          name: 'ownership of shards and lanes',
          start: async () => ownership.start(listener, (await keySpace.current()).sessions),
          stop: () => ownership.stop(),
          // Storing and applying what was read may take all of the grace time.
          stopWithinMs: SHUTDOWN_GRACE,
        },
        { name: 'memory watch', start: () => memory.start(), stop: () => memory.stop() },
        {
          name: 'housekeeping',
          start: () => [housekeeping, recount, eventRetention].forEach((periodic) => periodic.start()),
          stop: () => Promise.all([housekeeping.stop(), recount.stop(), eventRetention.stop()]),
        },
        { name: 'schedule of sweeps', start: () => triggers.start() },
        // Its job may take long to end. The shards are handed over at the same time.
        { name: 'maintenance worker', start: () => worker.start(), stop: () => worker.beginStop() },
        { name: 'lane watch', start: () => laneWatch.start(), stop: () => laneWatch.stop() },
      ],
      draining,
      logger,
    );
  }
}
