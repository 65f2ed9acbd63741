/**
 * In: wake-ups of shards with ready connections. Out: their messages, claimed, published and completed.
 * Invariants: each connection has one publish in flight at a time, in the order of acceptance; an interrupted message is
 * published again by the next run; without a connection to the broker nothing is claimed.
 */
import { Module } from '@nestjs/common';
import { BrokerModule, Publisher } from '@app/broker';
import { LOGGER, REDIS, SETTINGS, type Logger, type NamedConnection, type Redis } from '@app/platform';
import { Outboxes, RegistryKeys, RegistryModule, WakeUps } from '@app/registry';
import { Dispatcher } from './dispatcher.js';
import type { OutboundSettings } from './outbound.settings.js';
import { Semaphore } from './semaphore.js';

/** BullMQ uses it for blocking reads of wake-ups. */
export const WORKER_REDIS: NamedConnection = {
  token: Symbol('WORKER_REDIS'),
  name: 'dispatcher-worker',
  whenAway: 'wait',
};

const broker = BrokerModule.of('dispatcher', { needs: 'publish' });

@Module({
  imports: [RegistryModule, broker],
  providers: [
    {
      provide: Outboxes,
      inject: [REDIS, RegistryKeys, SETTINGS],
      useFactory: (redis: Redis, keys: RegistryKeys, { SHARD_COUNT }: OutboundSettings) =>
        new Outboxes(redis, keys, SHARD_COUNT),
    },
    {
      provide: Dispatcher,
      inject: [WORKER_REDIS.token, RegistryKeys, Outboxes, Publisher, WakeUps, SETTINGS, LOGGER],
      useFactory: (
        redis: Redis,
        keys: RegistryKeys,
        outboxes: Outboxes,
        publisher: Publisher,
        wakeUps: WakeUps,
        { OUT_TOPIC: outTopic, DISPATCH_CONCURRENCY, SHARD_COUNT }: OutboundSettings,
        logger: Logger,
      ) => {
        const runs = { outboxes, publisher, outTopic, semaphore: new Semaphore(DISPATCH_CONCURRENCY), logger };
        return new Dispatcher(redis, keys, runs, wakeUps, SHARD_COUNT, logger);
      },
    },
  ],
  exports: [Dispatcher, broker],
})
export class OutboundModule {}
