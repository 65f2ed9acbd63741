import { randomUUID } from 'node:crypto';
import { Module, type DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { Publisher, brokerAccess } from '@app/broker';
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
import { Outboxes, RegistryKeys, WakeUps } from '@app/registry';
import { DISPATCHER_PARTS, Dispatcher, type DispatcherParts } from './dispatcher.js';
import type { DispatcherSettings } from './dispatcher.settings.js';
import type { DrainParts } from './drain.js';
import { Slots } from './slots.js';

@Module({})
export class DispatcherModule {
  static wire(settings: DispatcherSettings, logger: Logger): DynamicModule {
    const { REDIS_URL, SHARD_COUNT, OUT_TOPIC, DISPATCH_CONCURRENCY } = settings;
    const redis = connectRedis(REDIS_URL, { name: 'dispatcher', whenAway: 'wait' }, logger);
    const workerRedis = connectRedis(REDIS_URL, { name: 'dispatcher-worker', whenAway: 'wait' }, logger);
    const keys = new RegistryKeys(settings.KEY_PREFIX);
    const draining: DrainParts = {
      outboxes: new Outboxes(redis, keys, SHARD_COUNT),
      publisher: new Publisher(brokerAccess(settings, logger), `dispatcher-${randomUUID()}`, logger),
      outTopic: OUT_TOPIC,
      slots: new Slots(DISPATCH_CONCURRENCY),
      logger,
    };
    const parts: DispatcherParts = {
      redis,
      workerRedis,
      keys,
      draining,
      wakeUps: new WakeUps(redis, keys),
      shardCount: SHARD_COUNT,
    };
    return {
      module: DispatcherModule,
      imports: [TerminusModule.forRoot({ logger: false })],
      controllers: [HealthController, MetricsController],
      providers: [
        Draining,
        Dispatcher,
        { provide: SETTINGS, useValue: settings },
        { provide: LOGGER, useValue: logger },
        { provide: DISPATCHER_PARTS, useValue: parts },
        { provide: READINESS_CHECKS, useFactory: checks(parts), inject: [Dispatcher] },
      ],
    };
  }
}

function checks({ redis, draining: { publisher } }: DispatcherParts): (dispatcher: Dispatcher) => ReadinessCheck[] {
  return (dispatcher) => [
    redisCheck(redis),
    {
      name: 'broker',
      check: () => {
        if (!publisher.connected) return Promise.resolve({ down: 'not connected' });
        return Promise.resolve(publisher.stalled ? { down: 'acknowledges no publish' } : 'up');
      },
    },
    {
      name: 'worker',
      check: () => Promise.resolve(dispatcher.running ? 'up' : { down: 'takes no wake-ups' }),
    },
  ];
}
