/** In which order the dispatcher starts and stops. */
import { Inject, Injectable } from '@nestjs/common';
import { Publisher } from '@app/broker';
import {
  Draining,
  LOGGER,
  Lifecycle,
  REDIS,
  RedisConnections,
  SERVERS,
  SETTINGS,
  assertRedisRequirements,
  type CommonSettings,
  type Logger,
  type Redis,
} from '@app/platform';
import { RegistryKeys, WakeUps, openKeySpace } from '@app/registry';
import { Dispatcher } from './outbound/dispatcher.js';
import { CLOSE_MS } from './outbound/outbound-times.js';

@Injectable()
export class DispatcherLifecycle extends Lifecycle {
  constructor(
    connections: RedisConnections,
    @Inject(REDIS) redis: Redis,
    keys: RegistryKeys,
    wakeUps: WakeUps,
    publisher: Publisher,
    dispatcher: Dispatcher,
    @Inject(SETTINGS) { SHARD_COUNT }: Pick<CommonSettings, 'SHARD_COUNT'>,
    draining: Draining,
    @Inject(LOGGER) logger: Logger,
  ) {
    super(
      [
        { name: 'connections to Redis', stop: () => connections.close() },
        { name: 'wake-up queue', stop: () => wakeUps.close() },
        { name: 'publisher', stop: () => publisher.close() },
        SERVERS,
        { name: 'requirements on Redis', start: () => assertRedisRequirements(redis) },
        { name: 'key space', start: (stopping) => openKeySpace(redis, keys, SHARD_COUNT, logger, stopping) },
        {
          name: 'worker of wake-ups',
          start: () => dispatcher.start(),
          stop: () => dispatcher.stop(),
          stopWithinMs: CLOSE_MS,
        },
      ],
      draining,
      logger,
    );
  }
}
