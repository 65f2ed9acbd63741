/**
 * In: heartbeats, leases and the key space's marker. Out: the shards and lanes that this process owns, the mailboxes, and the
 * fenced commit. Invariants: a write of a former owner is refused (S1, S2); an owner stops before its lease can end (S3); a
 * restart is a new member (S4); the members decide among themselves who owns what (S5); if Redis lost data, all leases are
 * revoked (S0).
 */
import { Module } from '@nestjs/common';
import { Publisher } from '@app/broker';
import {
  LOGGER,
  MemoryWatch,
  REDIS,
  REDIS_REPLY_MS,
  RedisRestartDetector,
  SETTINGS,
  type Logger,
  type MemoryMark,
  type NamedConnection,
  type Redis,
} from '@app/platform';
import { FORMAT, FencedCommit, KeySpaceWatch, RegistryKeys, RegistryModule, memberEvents } from '@app/registry';
import { LeaseTiming, LeasedOwnership, Leases, Mailboxes, MemberIdentity, Members } from '@app/sharding';
import type { ShardingSettings } from './sharding.settings.js';

/** Fails fast: a lease must be renewed in time or not at all. */
export const LEASES_REDIS: NamedConnection = {
  token: Symbol('LEASES_REDIS'),
  name: 'ingester-leases',
  whenAway: 'fail',
};

/** Subscribes to changes of the members. */
export const MEMBERS_REDIS: NamedConnection = {
  token: Symbol('MEMBERS_REDIS'),
  name: 'ingester-members',
  whenAway: 'wait',
};

/** Above this share of `maxmemory` the mailboxes count as full: lanes stop reading, and the broker queues what clients send. */
const LANES_STOP: MemoryMark = { share: 1.05 };

@Module({
  imports: [RegistryModule],
  providers: [
    { provide: MemberIdentity, useFactory: () => new MemberIdentity() },
    {
      provide: MemoryWatch,
      inject: [REDIS, RegistryKeys, SETTINGS, LOGGER],
      useFactory: (redis: Redis, keys: RegistryKeys, { SHARD_COUNT }: ShardingSettings, logger: Logger) =>
        new MemoryWatch(
          redis,
          Array.from({ length: SHARD_COUNT }, (_, shard) => keys.mailbox(shard)),
          logger,
        ),
    },
    {
      provide: Mailboxes,
      inject: [REDIS, RegistryKeys, MemoryWatch, SETTINGS],
      useFactory: (redis: Redis, keys: RegistryKeys, memory: MemoryWatch, settings: ShardingSettings) =>
        new Mailboxes(redis, keys, settings.MAILBOX_LIMIT, 2 * settings.INTAKE_WINDOW, {
          bytes: settings.MAILBOX_BYTES,
          isClosed: (shard) => memory.isAbove(LANES_STOP, shard),
        }),
    },
    {
      provide: FencedCommit,
      inject: [REDIS, RegistryKeys],
      useFactory: (redis: Redis, keys: RegistryKeys) => new FencedCommit(redis, keys),
    },
    {
      provide: LeasedOwnership,
      inject: [LEASES_REDIS.token, MEMBERS_REDIS.token, RegistryKeys, MemberIdentity, Publisher, SETTINGS, LOGGER],
      useFactory: leasedOwnership,
    },
  ],
  exports: [MemberIdentity, MemoryWatch, Mailboxes, FencedCommit, LeasedOwnership],
})
export class ShardingModule {}

function leasedOwnership(
  redis: Redis,
  subscriber: Redis,
  keys: RegistryKeys,
  { name, bootId, id }: MemberIdentity,
  publisher: Publisher,
  { LEASE_TIME, INTAKE_LANES, SHARD_COUNT: shardCount }: ShardingSettings,
  logger: Logger,
): LeasedOwnership {
  const timing = new LeaseTiming(LEASE_TIME, REDIS_REPLY_MS);
  const redisRestarts = new RedisRestartDetector(redis);
  const keySpace = new KeySpaceWatch(redis, keys);
  return new LeasedOwnership({
    members: new Members(redis, keys.cluster, id, timing.leaseMs, memberEvents(redis, keys, 'ingester', logger)),
    leases: new Leases(redis, keys, bootId, timing.leaseMs),
    timing,
    keys,
    subscriber,
    dataLossDetectors: [() => redisRestarts.changed(), () => keySpace.changed()],
    knownLanes: () => keySpace.sessions,
    reachesBroker: () => publisher.connected,
    about: { name, wants_lanes: INTAKE_LANES, format: FORMAT },
    shardCount,
    logger,
  });
}
