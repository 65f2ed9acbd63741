/**
 * In: requests of operators. Out: members, shards and lanes; what is known of the broker; sweeps, requested and running; dead
 * letters.
 * Invariant: callers that are bound to an account do not see the cluster.
 */
import { Module } from '@nestjs/common';
import { REDIS, SETTINGS, type CommonSettings, type Redis } from '@app/platform';
import { BrokerRecords, DeadLetters, Maintenance, RegistryKeys, RegistryModule } from '@app/registry';
import { AccessModule } from '../access/access.module.js';
import { ClusterController } from './cluster.controller.js';

@Module({
  imports: [AccessModule, RegistryModule],
  controllers: [ClusterController],
  providers: [
    {
      provide: BrokerRecords,
      inject: [REDIS, RegistryKeys],
      useFactory: (redis: Redis, keys: RegistryKeys) => new BrokerRecords(redis, keys),
    },
    {
      provide: DeadLetters,
      inject: [REDIS, RegistryKeys, SETTINGS],
      useFactory: (redis: Redis, keys: RegistryKeys, { SHARD_COUNT }: CommonSettings) =>
        new DeadLetters(redis, keys, SHARD_COUNT),
    },
    {
      provide: Maintenance,
      inject: [REDIS, RegistryKeys],
      useFactory: (redis: Redis, keys: RegistryKeys) => new Maintenance(redis, keys),
    },
  ],
  exports: [Maintenance],
})
export class ClusterModule {}
