/**
 * The dispatcher starts from top to bottom and stops from bottom to top. It listens for probes first, and takes shards when the
 * broker and its key space have been checked. The outbound side stops first, since it uses the publisher and completes messages in
 * Redis; the connections to Redis close last.
 */
import { Inject, Injectable } from '@nestjs/common';
import { BrokerGate, Publisher } from '@app/broker';
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
import { RegistryKeys, WakeUps, KeySpaceOpening } from '@app/registry';
import { Outbound } from './outbound/outbound.module.js';
import { CLOSE_MS } from './outbound/outbound-times.js';

@Injectable()
export class DispatcherLifecycle extends Lifecycle {
  constructor(
    connections: RedisConnections,
    @Inject(REDIS) redis: Redis,
    keys: RegistryKeys,
    opening: KeySpaceOpening,
    wakeUps: WakeUps,
    publisher: Publisher,
    @Inject(BrokerGate) gate: Pick<BrokerGate, 'start' | 'stop'>,
    outbound: Outbound,
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
        { name: 'requirements on the broker', start: () => gate.start(), stop: () => gate.stop() },
        { name: 'requirements on Redis', start: () => assertRedisRequirements(redis) },
        { name: 'key space', start: (stopping) => opening.open(redis, keys, SHARD_COUNT, logger, stopping) },
        {
          name: 'outbound side',
          start: () => outbound.start(),
          stop: () => outbound.stop(),
          stopWithinMs: CLOSE_MS,
        },
      ],
      draining,
      logger,
    );
  }
}
