/**
 * In: clients to verify, connects of lanes, uptimes of the broker, and maintenance jobs. Out: what the broker retains, written
 * into the mailboxes of the clients' shards; sweeps and their records. Invariants: a result moves the registry towards what
 * the broker retains, and is applied only if no live message came after the read (S9); a job whose worker dies is run again.
 */
import { randomUUID } from 'node:crypto';
import { Module } from '@nestjs/common';
import {
  BROKER,
  BrokerFacts,
  BrokerWatch,
  ControlMessages,
  Publisher,
  RetainedReader,
  type BrokerAccess,
} from '@app/broker';
import { LOGGER, REDIS, SETTINGS, type Logger, type NamedConnection, type Redis } from '@app/platform';
import {
  BrokerRuns,
  ConnectionDirectory,
  Maintenance,
  RegistryKeys,
  RegistryModule,
  Sweeps,
  claimKeySpace,
} from '@app/registry';
import { Mailboxes, MemberIdentity } from '@app/sharding';
import { IntakeModule } from '../intake/intake.module.js';
import { LaneConnections } from '../intake/lane-connections.js';
import { CONTROL_MESSAGE, LaneMarkers } from '../intake/lane-markers.js';
import { LaneStrategy } from '../intake/lane.strategy.js';
import { LEASES_REDIS, ShardingModule } from '../sharding/sharding.module.js';
import { SENTINEL } from '../topics/topics.settings.js';
import { LaneBarrier } from './lane-barrier.js';
import { MaintenanceWorker } from './maintenance-worker.js';
import type { ReconciliationSettings } from './reconciliation.settings.js';
import { SweepTriggers } from './sweep-triggers.js';
import { Verifier } from './verifier.js';

/** BullMQ blocks it while it waits for jobs. */
export const MAINTENANCE_REDIS: NamedConnection = {
  token: Symbol('MAINTENANCE_REDIS'),
  name: 'ingester-maintenance',
  whenAway: 'wait',
};

@Module({
  imports: [RegistryModule, ShardingModule, IntakeModule],
  providers: [
    {
      provide: ControlMessages,
      inject: [SETTINGS, LOGGER],
      useFactory: ({ STATUS_TOPICS }: ReconciliationSettings, logger: Logger) => {
        const topics = STATUS_TOPICS.flatMap(({ ownTopic }) => ownTopic ?? []);
        return new ControlMessages(topics, CONTROL_MESSAGE, logger);
      },
    },
    {
      provide: RetainedReader,
      inject: [BROKER, ControlMessages, LOGGER],
      useFactory: (broker: BrokerAccess, controls: ControlMessages, logger: Logger) =>
        new RetainedReader(broker, `ingester-reader-${randomUUID()}`, SENTINEL, logger, { controls }),
    },
    {
      provide: LaneBarrier,
      inject: [Publisher, LaneMarkers, LaneStrategy, SETTINGS, LOGGER],
      useFactory: (
        publisher: Publisher,
        markers: LaneMarkers,
        strategy: LaneStrategy,
        { INTAKE_LANES: lanes }: ReconciliationSettings,
        logger: Logger,
      ) => {
        const ownsLane = (): boolean => strategy.serving.length > 0;
        return new LaneBarrier({ publisher, markers, ownsLane, topic: SENTINEL, lanes, logger });
      },
    },
    {
      provide: Verifier,
      inject: [RetainedReader, LaneBarrier, BrokerFacts, Mailboxes, REDIS, SETTINGS, LOGGER],
      useFactory: (
        reader: RetainedReader,
        barrier: LaneBarrier,
        facts: BrokerFacts,
        mailboxes: Mailboxes,
        redis: Redis,
        settings: ReconciliationSettings,
        logger: Logger,
      ) =>
        new Verifier({
          reader,
          barrier,
          facts,
          mailboxes,
          redis,
          statusTopics: settings.STATUS_TOPICS,
          maxInboundBytes: settings.MAX_INBOUND_BYTES,
          rate: settings.VERIFY_RATE,
          logger,
        }),
    },
    {
      provide: Maintenance,
      inject: [REDIS, RegistryKeys],
      useFactory: (redis: Redis, keys: RegistryKeys) => new Maintenance(redis, keys),
    },
    {
      provide: SweepTriggers,
      inject: [Maintenance, LEASES_REDIS.token, RegistryKeys, LaneConnections, SETTINGS, LOGGER],
      useFactory: sweepTriggers,
    },
    {
      provide: BrokerWatch,
      inject: [BROKER, SweepTriggers, LOGGER],
      useFactory: (broker: BrokerAccess, triggers: SweepTriggers, logger: Logger) =>
        new BrokerWatch(
          broker,
          `ingester-watch-${randomUUID()}`,
          {
            uptime: (uptime) => triggers.brokerUptime(uptime),
            dropped: (messages) => triggers.brokerDropped(messages),
          },
          logger,
        ),
    },
    {
      provide: MaintenanceWorker,
      inject: [
        Maintenance,
        MAINTENANCE_REDIS.token,
        REDIS,
        RegistryKeys,
        LaneBarrier,
        Mailboxes,
        ConnectionDirectory,
        Sweeps,
        BROKER,
        ControlMessages,
        BrokerFacts,
        MemberIdentity,
        LaneStrategy,
        SETTINGS,
        LOGGER,
      ],
      useFactory: maintenanceWorker,
    },
  ],
  exports: [BrokerWatch, Maintenance, MaintenanceWorker, RetainedReader, SweepTriggers, Verifier],
})
export class ReconciliationModule {}

function sweepTriggers(
  maintenance: Maintenance,
  redis: Redis,
  keys: RegistryKeys,
  lanes: LaneConnections,
  { SWEEP_INTERVAL: sweepEveryMs, RECONFIRM_WINDOW: reconfirmWindowMs }: ReconciliationSettings,
  logger: Logger,
): SweepTriggers {
  const brokerRuns = new BrokerRuns(redis, keys);
  const triggers = new SweepTriggers({ maintenance, brokerRuns, sweepEveryMs, reconfirmWindowMs, logger });
  lanes.onConnected((connect) => triggers.laneConnected(connect));
  return triggers;
}

function maintenanceWorker(
  maintenance: Maintenance,
  workerRedis: Redis,
  redis: Redis,
  keys: RegistryKeys,
  barrier: LaneBarrier,
  mailboxes: Mailboxes,
  directory: ConnectionDirectory,
  sweeps: Sweeps,
  broker: BrokerAccess,
  controls: ControlMessages,
  facts: BrokerFacts,
  member: MemberIdentity,
  lanes: LaneStrategy,
  settings: ReconciliationSettings,
  logger: Logger,
): MaintenanceWorker {
  const { SHARD_COUNT: shardCount } = settings;
  return new MaintenanceWorker({
    maintenance,
    workerRedis,
    redis,
    keys,
    barrier,
    mailboxes,
    directory,
    sweeps,
    broker,
    controls,
    facts,
    sentinel: SENTINEL,
    statusTopics: settings.STATUS_TOPICS,
    maxInboundBytes: settings.MAX_INBOUND_BYTES,
    lanes: settings.INTAKE_LANES,
    shardCount,
    member: member.id,
    lanesConnected: (waitMs, signal) => lanes.untilConnected(waitMs, signal),
    keySpace: async () => (await claimKeySpace(redis, keys, shardCount)).id,
    logger,
  });
}
