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
import { Drain } from './drain.js';

@Module({})
export class DispatcherModule {
  static wire(settings: DispatcherSettings, logger: Logger): DynamicModule {
    const { REDIS_URL, SHARD_COUNT, OUT_TOPIC, DISPATCH_CONCURRENCY } = settings;
    const redis = connectRedis(REDIS_URL, { name: 'dispatcher', whenAway: 'wait' }, logger);
    const workerRedis = connectRedis(REDIS_URL, { name: 'dispatcher-worker', whenAway: 'wait' }, logger);
    const keys = new RegistryKeys(settings.KEY_PREFIX);
    const publisher = new Publisher(brokerAccess(settings, logger), `dispatcher-${randomUUID()}`, logger);
    const drain = new Drain(new Outboxes(redis, keys, SHARD_COUNT), publisher, OUT_TOPIC, logger);
    const parts: DispatcherParts = {
      redis,
      workerRedis,
      keys,
      publisher,
      drain,
      wakeUps: new WakeUps(redis, keys),
      concurrency: DISPATCH_CONCURRENCY,
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

function checks({ redis, publisher }: DispatcherParts): (dispatcher: Dispatcher) => ReadinessCheck[] {
  return (dispatcher) => [
    redisCheck(redis),
    {
      name: 'broker',
      check: () => Promise.resolve(publisher.connected ? 'up' : { down: 'not connected' }),
    },
    {
      name: 'worker',
      check: () => Promise.resolve(dispatcher.running ? 'up' : { down: 'takes no wake-ups' }),
    },
  ];
}
