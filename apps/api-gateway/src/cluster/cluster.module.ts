/**
 * In: requests of operators. Out: members, shards and lanes; what is known of the broker; sweeps, requested and running; dead
 * letters. The gateway shows itself among the gateways.
 * Invariant: callers that are bound to an account do not see the cluster.
 */
import { Module } from '@nestjs/common';
import { LOGGER, REDIS, SETTINGS, type CommonSettings, type Logger, type Redis } from '@app/platform';
import { BrokerRecords, DeadLetters, Maintenance, RegistryKeys, RegistryModule, memberEvents } from '@app/registry';
import { MemberIdentity, Members, PRESENCE_TTL_MS, Presence, type GatewayAnnouncement } from '@app/sharding';
import { AccessModule } from '../access/access.module.js';
import { ClusterController } from './cluster.controller.js';
import { exposeWorkingProcesses } from './working-processes.js';

const WORKING_PROCESSES = Symbol('WORKING_PROCESSES');

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
    {
      provide: Presence,
      inject: [REDIS, RegistryKeys, LOGGER],
      useFactory: gatewayPresence,
    },
    { provide: WORKING_PROCESSES, inject: [REDIS, RegistryKeys, LOGGER], useFactory: exposeWorkingProcesses },
  ],
  exports: [Maintenance, Presence],
})
export class ClusterModule {}

function gatewayPresence(redis: Redis, keys: RegistryKeys, logger: Logger): Presence<GatewayAnnouncement> {
  const { id, name } = new MemberIdentity();
  const events = memberEvents(redis, keys, 'gateway', logger);
  const members = new Members<GatewayAnnouncement>(redis, keys.gateways, id, PRESENCE_TTL_MS, events);
  return new Presence(members, { name, since: new Date().toISOString() }, logger);
}
