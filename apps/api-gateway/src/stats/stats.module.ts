/**
 * In: requests for figures. Out: figures of connections and messages; once a minute the number of connections, stored.
 * Invariants: nothing is scanned, figures are sizes of sets and counters; a caller with an account sees figures of its account only.
 */
import { Module } from '@nestjs/common';
import { LOGGER, REDIS, SETTINGS, type CommonSettings, type Logger, type Redis } from '@app/platform';
import { ConnectionDirectory, RegistryKeys, RegistryModule } from '@app/registry';
import { ConnectionCounter } from './connection-counter.js';
import { StatsController } from './stats.controller.js';
import { Stats } from './stats.js';

@Module({
  imports: [RegistryModule],
  controllers: [StatsController],
  providers: [
    {
      provide: Stats,
      inject: [REDIS, RegistryKeys, ConnectionDirectory, SETTINGS],
      useFactory: (
        redis: Redis,
        keys: RegistryKeys,
        directory: ConnectionDirectory,
        { SHARD_COUNT }: Pick<CommonSettings, 'SHARD_COUNT'>,
      ) => new Stats(redis, keys, directory, SHARD_COUNT),
    },
    {
      provide: ConnectionCounter,
      inject: [REDIS, RegistryKeys, ConnectionDirectory, LOGGER],
      useFactory: (redis: Redis, keys: RegistryKeys, directory: ConnectionDirectory, logger: Logger) =>
        new ConnectionCounter(redis, keys, directory, logger),
    },
  ],
  exports: [ConnectionCounter],
})
export class StatsModule {}
