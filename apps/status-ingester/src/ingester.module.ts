import { randomBytes, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { Module, type DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { BrokerWatch, Publisher, RetainedReader, brokerAccess } from '@app/broker';
import {
  Draining,
  HealthController,
  LOGGER,
  MemoryWatch,
  MetricsController,
  READINESS_CHECKS,
  REDIS_ANSWER_MS,
  RedisRestartDetector,
  SETTINGS,
  connectRedis,
  redisCheck,
  type Logger,
  type MemoryMark,
  type ReadinessCheck,
  type ReadinessOutcome,
} from '@app/platform';
import {
  BrokerRuns,
  ConnectionDirectory,
  DueTodos,
  FORMAT,
  KeySpaceWatch,
  Maintenance,
  Migration,
  Outboxes,
  Refusals,
  RegistryKeys,
  Sweeps,
  WakeUps,
  claimKeySpace,
  forgetLane,
} from '@app/registry';
import {
  FencedCommit,
  LeaseTiming,
  LeasedOwnership,
  Leases,
  Mailboxes,
  Members,
  OwnerLoop,
  mailboxReader,
} from '@app/sharding';
import { INGESTER_PARTS, Ingester, type IngesterParts } from './ingester.js';
import { topicsOfClients, type IngesterSettings } from './ingester.settings.js';
import { IntakeController } from './intake/intake.controller.js';
import { LaneMarkers } from './intake/lane-markers.js';
import { LaneStrategy } from './intake/lane.strategy.js';
import { LaneWatch, type LaneWatchTiming } from './intake/lane-watch.js';
import { LaneBarrier } from './reconciliation/lane-barrier.js';
import { MaintenanceWorker } from './reconciliation/maintenance-worker.js';
import { SweepTriggers } from './reconciliation/sweep-triggers.js';
import { AccountQuestions } from './accounts/account-questions.js';
import { accountResolver } from './accounts/accounts.settings.js';
import { Verifier } from './reconciliation/verifier.js';
import { ByteRecount } from './shard/byte-recount.js';
import { ToDoRunner } from './shard/todo-runner.js';
import { EventRetention } from './shard/event-retention.js';
import { Housekeeping } from './shard/housekeeping.js';
import { RetentionLimits } from './shard/retention-limits.js';
import { exposeMailboxes } from './shard/mailbox-gauges.js';
import { ShardActor } from './shard/shard-actor.js';
import { toDoKinds } from './shard/todo-catalogue.js';

/**
 * Retained by the service itself, outside of every client's topics: the last thing a read of retained messages brings.
 * The lanes listen to it for markers.
 */
const SENTINEL = 'cloud-connector/sentinel';

/** A marker may wait for a lane that another ingester takes over: that lasts `LEASE_TIME` and a moment. */
function watchTiming(leaseMs: number): LaneWatchTiming {
  return { everyMs: 5000, answerMs: 15_000 + leaseMs };
}

/** Above it the lanes stop reading, and the broker keeps what clients send. */
const LANES_STOP: MemoryMark = { share: 1.05 };

@Module({})
export class IngesterModule {
  static wire(
    settings: IngesterSettings,
    logger: Logger,
    laneTiming: LaneWatchTiming = watchTiming(settings.LEASE_TIME),
  ): DynamicModule {
    const parts = assemble(settings, logger, laneTiming);
    return {
      module: IngesterModule,
      imports: [TerminusModule.forRoot({ logger: false })],
      controllers: [HealthController, MetricsController, IntakeController],
      providers: [
        Draining,
        Ingester,
        { provide: SETTINGS, useValue: settings },
        { provide: LOGGER, useValue: logger },
        { provide: INGESTER_PARTS, useValue: parts },
        { provide: Mailboxes, useValue: parts.mailboxes },
        { provide: LaneStrategy, useValue: parts.lanes },
        { provide: LaneMarkers, useValue: parts.markers },
        { provide: READINESS_CHECKS, useFactory: (ingester: Ingester) => checks(parts, ingester), inject: [Ingester] },
      ],
    };
  }
}

function assemble(settings: IngesterSettings, logger: Logger, laneTiming: LaneWatchTiming): IngesterParts {
  const { REDIS_URL, SHARD_COUNT, INTAKE_LANES, INTAKE_WINDOW, STATUS_TOPICS, IN_TOPIC, OUT_TOPIC } = settings;
  const redis = connectRedis(REDIS_URL, { name: 'ingester', whenAway: 'wait' }, logger);
  const loopRedis = connectRedis(REDIS_URL, { name: 'ingester-mailboxes', whenAway: 'wait' }, logger);
  const leaseRedis = connectRedis(REDIS_URL, { name: 'ingester-leases', whenAway: 'fail' }, logger);
  const subscriber = connectRedis(REDIS_URL, { name: 'ingester-members', whenAway: 'wait' }, logger);
  const broker = brokerAccess(settings, logger);
  const maintenanceRedis = connectRedis(REDIS_URL, { name: 'ingester-maintenance', whenAway: 'wait' }, logger);
  const keys = new RegistryKeys(settings.KEY_PREFIX);

  const name = hostname();
  const bootId = randomBytes(6).toString('hex');
  const memberId = `${name}/${bootId}`;
  const timing = new LeaseTiming(settings.LEASE_TIME, REDIS_ANSWER_MS);
  const runs = new RedisRestartDetector(leaseRedis);
  const keySpace = new KeySpaceWatch(leaseRedis, keys);
  const publisher = new Publisher(broker, `ingester-${randomUUID()}`, logger);
  const ownership = new LeasedOwnership({
    members: new Members(leaseRedis, keys, memberId, timing.leaseMs),
    leases: new Leases(leaseRedis, keys, bootId, timing.leaseMs),
    timing,
    keys,
    subscriber,
    dataLossDetectors: [() => runs.changed(), () => keySpace.changed()],
    knownLanes: () => keySpace.sessions,
    isDegraded: () => !publisher.connected,
    about: { name, wants_lanes: INTAKE_LANES, format: FORMAT },
    shardCount: SHARD_COUNT,
    logger,
  });
  const shardKeys = Array.from({ length: SHARD_COUNT }, (_, shard) => keys.mailbox(shard));
  const memory = new MemoryWatch(redis, shardKeys, logger);
  const mailboxes = new Mailboxes(redis, keys, settings.MAILBOX_LIMIT, 2 * INTAKE_WINDOW, {
    bytes: settings.MAILBOX_BYTES,
    isClosed: (shard) => memory.isAbove(LANES_STOP, shard),
  });
  const commits = new FencedCommit(redis, keys);
  const kept = new RetentionLimits(settings, memory);
  const due = new DueTodos(redis, keys, (shard) => kept.finished(shard));
  const wakeUps = new WakeUps(redis, keys);
  const outboxes = new Outboxes(redis, keys, SHARD_COUNT);
  const directory = new ConnectionDirectory(redis, keys, SHARD_COUNT);
  const reader = new RetainedReader(broker, `ingester-reader-${randomUUID()}`, SENTINEL, logger);
  const barrier = new LaneBarrier({ publisher, redis, keys, topic: SENTINEL, lanes: INTAKE_LANES, logger });
  const resolver = accountResolver(settings, logger);
  const accounts = resolver && new AccountQuestions(resolver, mailboxes);
  const verifier = new Verifier({
    reader,
    barrier,
    mailboxes,
    directory,
    redis,
    statusTopics: STATUS_TOPICS,
    maxInboundBytes: settings.MAX_INBOUND_BYTES,
    rate: settings.VERIFY_RATE,
    logger,
  });
  const kinds = toDoKinds({
    verifier,
    accounts,
    refusals: new Refusals(redis, keys),
    wakeUps,
    outboxes,
    directory,
    mailboxes,
    publisher,
    outTopic: OUT_TOPIC,
    logger,
  });
  const effects = new ToDoRunner(kinds, due, logger);
  const rules = {
    statusTopics: STATUS_TOPICS.map(({ template }) => template),
    inTopic: IN_TOPIC.template,
    respond: settings.HANDSHAKE_RESPONSE === 'live',
    connectionRetentionMs: settings.CONNECTION_RETENTION,
    lanes: INTAKE_LANES,
    maxInboundBytes: settings.MAX_INBOUND_BYTES,
    ...(resolver && { accountOf: (clientId: string) => resolver.known(clientId) }),
    eventSettleMs: settings.EVENT_SETTLE,
  };
  const actor = new ShardActor(redis, keys, commits, directory, effects, verifier, rules, SHARD_COUNT, logger);
  const loop = new OwnerLoop(mailboxReader(loopRedis, keys), commits, actor, ownership, logger);
  const maintenance = new Maintenance(redis, keys);
  const sweeps = new Sweeps(redis, keys, SHARD_COUNT);
  const triggers = new SweepTriggers({
    maintenance,
    brokerRuns: new BrokerRuns(leaseRedis, keys),
    sweepEveryMs: settings.SWEEP_INTERVAL,
    reconfirmWindowMs: settings.RECONFIRM_WINDOW,
    logger,
  });
  const watch = new BrokerWatch(
    broker,
    `ingester-watch-${randomUUID()}`,
    {
      uptime: (uptime) => triggers.brokerUptime(uptime),
      dropped: (messages) => triggers.brokerDropped(messages),
    },
    logger,
  );
  const worker = new MaintenanceWorker({
    maintenance,
    workerRedis: maintenanceRedis,
    redis,
    keys,
    barrier,
    mailboxes,
    directory,
    sweeps,
    broker,
    sentinel: SENTINEL,
    statusTopics: STATUS_TOPICS,
    maxInboundBytes: settings.MAX_INBOUND_BYTES,
    lanes: INTAKE_LANES,
    shardCount: SHARD_COUNT,
    member: memberId,
    lanesConnected: (waitMs, signal) => lanes.untilConnected(waitMs, signal),
    keySpace: async () => (await claimKeySpace(redis, keys, SHARD_COUNT)).id,
    logger,
  });
  const templates = topicsOfClients(settings);
  const ownTopics = templates.flatMap(({ ownTopic }) => ownTopic ?? []);
  const markers = new LaneMarkers(redis, keys, SENTINEL, logger, new Set(ownTopics));
  const lanes = new LaneStrategy(
    { ...broker, filters: [...templates.map(({ filter }) => filter), SENTINEL], templates, window: INTAKE_WINDOW },
    {
      connected: (about) => triggers.laneConnected(about),
      retired: async (lane) => {
        await mailboxes.forgetDeliveries(lane, SHARD_COUNT);
        await forgetLane(redis, keys, lane);
      },
    },
    logger,
  );
  const laneWatch = new LaneWatch({
    publisher,
    markers,
    templates,
    timing: laneTiming,
    lanes: () => lanes.serving,
    laneCount: INTAKE_LANES,
    logger,
  });
  exposeMailboxes(redis, keys, ownership);
  const eventRetention = new EventRetention(ownership, redis, keys, (shard) => kept.log(shard), logger);
  const housekeeping = new Housekeeping(ownership, due, effects, logger);
  return {
    redis,
    connections: [loopRedis, leaseRedis, subscriber, maintenanceRedis, redis],
    maintenance,
    triggers,
    worker,
    watch,
    publisher,
    reader,
    accounts,
    verifier,
    ownership,
    memberId,
    migration: new Migration({ redis, keys, shardCount: SHARD_COUNT, logger }),
    commits,
    mailboxes,
    markers,
    lanes,
    laneWatch,
    loop,
    effects,
    housekeeping,
    memory,
    recount: new ByteRecount(redis, keys, ownership, logger),
    eventRetention,
    wakeUps,
    keys,
    shardCount: SHARD_COUNT,
    laneCount: INTAKE_LANES,
    shareGroup: settings.SHARE_GROUP,
    logger,
  };
}

function checks({ redis, ownership, lanes, laneWatch }: IngesterParts, ingester: Ingester): ReadinessCheck[] {
  return [
    redisCheck(redis),
    { name: 'broker', check: () => Promise.resolve(brokerHealth(lanes, laneWatch)) },
    {
      name: 'ownership',
      check: () => {
        // Ready, so that a rolling upgrade goes on and ends the older ones.
        if (ingester.standsBy)
          return Promise.resolve({ degraded: 'stands by: ingesters of an older release are running' });
        const trouble = ownership.trouble();
        return Promise.resolve(trouble === undefined ? 'up' : { down: trouble });
      },
    },
  ];
}

function brokerHealth(lanes: LaneStrategy, { stalledFilters, refusedTopics }: LaneWatch): ReadinessOutcome {
  if (stalledFilters.length > 0) {
    return { down: `nothing comes from the broker by ${stalledFilters.join(', ')}: the lanes are connected again` };
  }
  if (!lanes.connected) return { down: 'not all lanes held here are connected' };
  if (refusedTopics.length === 0) return 'up';
  return { degraded: `lanes are not watched: the broker lets no marker be published on ${refusedTopics.join(', ')}` };
}
