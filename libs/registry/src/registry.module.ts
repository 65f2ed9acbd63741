/**
 * In: `REDIS` and the settings of the key space. Out: the keys, and the parts of the registry that every app uses.
 * Invariants: an app has one instance of each; the app's lifecycle closes `WakeUps`.
 */
import { Module } from '@nestjs/common';
import { REDIS, SETTINGS, type CommonSettings, type Redis } from '@app/platform';
import { ConnectionDirectory } from './connections/connection-directory.js';
import { KeySpaceOpening } from './key-space/migration.js';
import { RegistryKeys } from './keys.js';
import { Sweeps } from './reconciliation/sweeps.js';
import { WakeUps } from './messages/wake-ups.js';

@Module({
  providers: [
    KeySpaceOpening,
    {
      provide: RegistryKeys,
      inject: [SETTINGS],
      useFactory: ({ KEY_PREFIX }: CommonSettings) => new RegistryKeys(KEY_PREFIX),
    },
    {
      provide: ConnectionDirectory,
      inject: [REDIS, RegistryKeys, SETTINGS],
      useFactory: (redis: Redis, keys: RegistryKeys, { SHARD_COUNT }: CommonSettings) =>
        new ConnectionDirectory(redis, keys, SHARD_COUNT),
    },
    {
      provide: Sweeps,
      inject: [REDIS, RegistryKeys, SETTINGS],
      useFactory: (redis: Redis, keys: RegistryKeys, { SHARD_COUNT }: CommonSettings) =>
        new Sweeps(redis, keys, SHARD_COUNT),
    },
    {
      provide: WakeUps,
      inject: [REDIS, RegistryKeys],
      useFactory: (redis: Redis, keys: RegistryKeys) => new WakeUps(redis, keys),
    },
  ],
  exports: [KeySpaceOpening, RegistryKeys, ConnectionDirectory, Sweeps, WakeUps],
})
export class RegistryModule {}
