import { randomBytes, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { Module, type DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { Publisher, RetainedReader, brokerAccess } from '@app/broker';
import {
  Draining,
  HealthController,
  LOGGER,
  MetricsController,
  READINESS_CHECKS,
  REDIS_ANSWER_MS,
  RedisRuns,
  SETTINGS,
  connectRedis,
  redisCheck,
  type Logger,
  type ReadinessCheck,
} from '@app/platform';
import {
  ConnectionDirectory,
  DueWorkOfShards,
  KeySpaceWatch,
  Outboxes,
  RegistryKeys,
  WakeUps,
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
import type { IngesterSettings } from './ingester.settings.js';
import { IntakeController } from './intake/intake.controller.js';
import { LaneStrategy } from './intake/lane.strategy.js';
import { AccountQuestions } from './accounts/account-questions.js';
import { accountResolver } from './accounts/accounts.settings.js';
import { Verifier } from './agreement/verifier.js';
import { Effects } from './shard/effects.js';
import { Housekeeping } from './shard/housekeeping.js';
import { exposeMailboxes } from './shard/mailbox-gauges.js';
import { ShardActor } from './shard/shard-actor.js';

/** Retained by the service itself, outside of every client's topics: the last thing a read of retained messages brings. */
const SENTINEL = 'cloud-connector/sentinel';

@Module({})
export class IngesterModule {
  static wire(settings: IngesterSettings, logger: Logger): DynamicModule {
    const parts = assemble(settings, logger);
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
        { provide: READINESS_CHECKS, useValue: checks(parts) },
      ],
    };
  }
}

function assemble(settings: IngesterSettings, logger: Logger): IngesterParts {
  const { REDIS_URL, SHARD_COUNT, INTAKE_LANES, INTAKE_WINDOW, STATUS_TOPICS, IN_TOPIC, OUT_TOPIC } = settings;
  const redis = connectRedis(REDIS_URL, { name: 'ingester', whenAway: 'wait' }, logger);
  const loopRedis = connectRedis(REDIS_URL, { name: 'ingester-mailboxes', whenAway: 'wait' }, logger);
  const leaseRedis = connectRedis(REDIS_URL, { name: 'ingester-leases', whenAway: 'fail' }, logger);
  const subscriber = connectRedis(REDIS_URL, { name: 'ingester-members', whenAway: 'wait' }, logger);
  const broker = brokerAccess(settings, logger);
  const keys = new RegistryKeys(settings.KEY_PREFIX);

  const name = hostname();
  const bootId = randomBytes(6).toString('hex');
  const memberId = `${name}/${bootId}`;
  const timing = new LeaseTiming(settings.LEASE_TIME, REDIS_ANSWER_MS);
  const runs = new RedisRuns(leaseRedis);
  const keySpace = new KeySpaceWatch(leaseRedis, keys);
  const ownership = new LeasedOwnership({
    members: new Members(leaseRedis, keys, memberId, timing.leaseMs),
    leases: new Leases(leaseRedis, keys, bootId, timing.leaseMs),
    timing,
    keys,
    subscriber,
    doubts: [() => runs.changed(), () => keySpace.changed()],
    about: { name, wants_lanes: INTAKE_LANES },
    shardCount: SHARD_COUNT,
    logger,
  });
  const mailboxes = new Mailboxes(redis, keys, settings.MAILBOX_LIMIT, 2 * INTAKE_WINDOW);
  const commits = new FencedCommit(redis, keys);
  const due = new DueWorkOfShards(redis, keys);
  const wakeUps = new WakeUps(redis, keys);
  const publisher = new Publisher(broker, `ingester-${randomUUID()}`, logger);
  const outboxes = new Outboxes(redis, keys, SHARD_COUNT);
  const directory = new ConnectionDirectory(redis, keys, SHARD_COUNT);
  const reader = new RetainedReader(broker, `ingester-reader-${randomUUID()}`, SENTINEL, logger);
  const resolver = accountResolver(settings, logger);
  const accounts = resolver && new AccountQuestions(resolver, mailboxes);
  const verifier = new Verifier({
    reader,
    mailboxes,
    redis,
    statusTopics: STATUS_TOPICS,
    maxInboundBytes: settings.MAX_INBOUND_BYTES,
    rate: settings.VERIFY_RATE,
    logger,
  });
  const effects = new Effects({
    verifier,
    accounts,
    redis,
    keys,
    due,
    wakeUps,
    outboxes,
    directory,
    mailboxes,
    publisher,
    outTopic: OUT_TOPIC,
    logger,
  });
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
  const filters = new Set([...STATUS_TOPICS, IN_TOPIC].map(({ filter }) => filter));
  const lanes = new LaneStrategy(
    { ...broker, filters: [...filters], window: INTAKE_WINDOW },
    (lane) => forgetLane(redis, keys, lane),
    logger,
  );
  exposeMailboxes(redis, keys, ownership);
  const housekeeping = new Housekeeping(ownership, due, effects, logger);
  return {
    redis,
    connections: [loopRedis, leaseRedis, subscriber, redis],
    publisher,
    reader,
    accounts,
    verifier,
    ownership,
    memberId,
    commits,
    mailboxes,
    lanes,
    loop,
    effects,
    housekeeping,
    wakeUps,
    keys,
    shardCount: SHARD_COUNT,
    laneCount: INTAKE_LANES,
    shareGroup: settings.SHARE_GROUP,
    logger,
  };
}

function checks({ redis, ownership, lanes }: IngesterParts): ReadinessCheck[] {
  return [
    redisCheck(redis),
    {
      name: 'broker',
      check: () => Promise.resolve(lanes.connected ? 'up' : { down: 'not all lanes held here are connected' }),
    },
    {
      name: 'ownership',
      check: () => {
        const trouble = ownership.trouble();
        return Promise.resolve(trouble === undefined ? 'up' : { down: trouble });
      },
    },
  ];
}
