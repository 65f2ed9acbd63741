import { randomUUID } from 'node:crypto';
import { Module, type DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { Publisher } from '@app/broker';
import {
  Draining,
  HealthController,
  LOGGER,
  MetricsController,
  READINESS_CHECKS,
  SETTINGS,
  connectRedis,
  redisCheck,
  type Logger,
  type ReadinessCheck,
} from '@app/platform';
import { ConnectionDirectory, DueWorkOfShards, Outboxes, RegistryKeys, WakeUps } from '@app/registry';
import { FencedCommit, Mailboxes, OwnerLoop, StaticOwnership, type Resource } from '@app/sharding';
import { INGESTER_PARTS, Ingester, type IngesterParts } from './ingester.js';
import type { IngesterSettings } from './ingester.settings.js';
import { IntakeController } from './intake/intake.controller.js';
import { LaneStrategy } from './intake/lane.strategy.js';
import { Effects } from './shard/effects.js';
import { Housekeeping } from './shard/housekeeping.js';
import { ShardActor } from './shard/shard-actor.js';

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
        { provide: READINESS_CHECKS, useValue: checks(parts, settings) },
      ],
    };
  }
}

function assemble(settings: IngesterSettings, logger: Logger): IngesterParts {
  const { REDIS_URL, MQTT_URL, SHARD_COUNT, INTAKE_LANES, INTAKE_WINDOW, STATUS_TOPICS, IN_TOPIC, OUT_TOPIC } =
    settings;
  const redis = connectRedis(REDIS_URL, { name: 'ingester', whenAway: 'wait' }, logger);
  const loopRedis = connectRedis(REDIS_URL, { name: 'ingester-mailboxes', whenAway: 'wait' }, logger);
  const keys = new RegistryKeys(settings.KEY_PREFIX);

  const resources: Resource[] = [
    ...Array.from({ length: SHARD_COUNT }, (_, index) => ({ kind: 'shard', index }) as const),
    ...Array.from({ length: INTAKE_LANES }, (_, index) => ({ kind: 'lane', index }) as const),
  ];
  const ownership = new StaticOwnership(redis, keys, resources, logger);
  const mailboxes = new Mailboxes(redis, keys, settings.MAILBOX_LIMIT);
  const commits = new FencedCommit(redis, keys);
  const due = new DueWorkOfShards(redis, keys);
  const wakeUps = new WakeUps(redis, keys);
  const publisher = new Publisher(MQTT_URL, `ingester-${randomUUID()}`, logger);
  const outboxes = new Outboxes(redis, keys, SHARD_COUNT);
  const directory = new ConnectionDirectory(redis, keys, SHARD_COUNT);
  const effects = new Effects({
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
    maxInboundBytes: settings.MAX_INBOUND_BYTES,
  };
  const actor = new ShardActor(redis, keys, commits, directory, effects, rules, SHARD_COUNT, logger);
  const loop = new OwnerLoop(loopRedis, keys, commits, actor, (grant) => ownership.lost(grant), logger);
  const filters = new Set([...STATUS_TOPICS, IN_TOPIC].map(({ filter }) => filter));
  const lanes = new LaneStrategy({ url: MQTT_URL, filters: [...filters], window: INTAKE_WINDOW }, logger);
  const housekeeping = new Housekeeping(ownership, due, effects, logger);
  return {
    redis,
    loopRedis,
    publisher,
    ownership,
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
  };
}

function checks(
  { redis, ownership, lanes }: IngesterParts,
  { SHARD_COUNT, INTAKE_LANES }: IngesterSettings,
): ReadinessCheck[] {
  return [
    redisCheck(redis),
    {
      name: 'broker',
      check: () => Promise.resolve(lanes.connected ? 'up' : { down: 'not all lanes are connected' }),
    },
    {
      name: 'ownership',
      check: () => {
        const held = ownership.held().length;
        const all = SHARD_COUNT + INTAKE_LANES;
        return Promise.resolve(held === all ? 'up' : { down: `acts for ${held} of ${all} shards and lanes` });
      },
    },
  ];
}
