/**
 * The gateway starts from top to bottom and stops from bottom to top. It listens before its key space has been checked, and
 * answers 503 until then, so that probes are answered while it waits for Redis. Responses that wait are sent first. Then
 * the event feed stops: its streams would keep the server open. The connections to Redis close last, since every other step uses them.
 */
import { Inject, Injectable } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { FastifyAdapter } from '@nestjs/platform-fastify';
import {
  Draining,
  LOGGER,
  Lifecycle,
  RedisConnections,
  SERVERS,
  SETTINGS,
  assertRedisRequirements,
  closeRedis,
  type CommonSettings,
  type Logger,
  type NamedConnection,
  type Redis,
} from '@app/platform';
import { CommandReplies, Maintenance, RegistryKeys, WakeUps, KeySpaceOpening } from '@app/registry';
import { Presence, type GatewayAnnouncement } from '@app/sharding';
import { EventFeed } from './events/event-feed.js';
import { Availability } from './http/availability.js';
import { ManagementPort } from './http/management-port.js';
import { FinalWaits } from './messages/final-waits.js';
import { Pacing } from './messages/pacing.js';
import { StorageBudget } from './messages/storage-budget.js';
import { ConnectionCounter } from './stats/connection-counter.js';

/** Used by the start only: its commands wait for Redis. */
export const STARTER_REDIS: NamedConnection = {
  token: Symbol('STARTER_REDIS'),
  name: 'gateway-start',
  whenAway: 'wait',
};

@Injectable()
export class GatewayLifecycle extends Lifecycle {
  constructor(
    connections: RedisConnections,
    @Inject(STARTER_REDIS.token) starter: Redis,
    keys: RegistryKeys,
    opening: KeySpaceOpening,
    replies: CommandReplies,
    storage: StorageBudget,
    pacing: Pacing,
    waits: FinalWaits,
    feed: EventFeed,
    wakeUps: WakeUps,
    maintenance: Maintenance,
    presence: Presence<GatewayAnnouncement>,
    connectionCounter: ConnectionCounter,
    availability: Availability,
    management: ManagementPort,
    { httpAdapter }: HttpAdapterHost<FastifyAdapter>,
    @Inject(SETTINGS) { SHARD_COUNT }: CommonSettings,
    draining: Draining,
    @Inject(LOGGER) logger: Logger,
  ) {
    super(
      [
        { name: 'connections to Redis', stop: () => connections.disconnect() },
        { name: 'maintenance queue', stop: () => maintenance.close() },
        { name: 'wake-up queue', stop: () => wakeUps.close() },
        {
          name: 'management port',
          start: () => management.open(httpAdapter.getInstance()),
          stop: () => management.close(),
        },
        SERVERS,
        { name: 'requirements on Redis', start: () => assertRedisRequirements(starter) },
        { name: 'key space', start: (stopping) => opening.open(starter, keys, SHARD_COUNT, logger, stopping) },
        { name: 'connection for the start', start: () => closeRedis(starter) },
        { name: 'replies to commands', start: () => replies.start() },
        { name: 'storage budget', start: () => storage.start(), stop: () => storage.stop() },
        { name: 'reports of final messages', start: () => waits.start() },
        { name: 'API', start: () => availability.open() },
        { name: 'heartbeats', start: () => presence.start(), stop: () => presence.stop() },
        { name: 'counts of connections', start: () => connectionCounter.start(), stop: () => connectionCounter.stop() },
        { name: 'event feed', stop: () => feed.stop() },
        { name: 'pacing of responses', stop: () => pacing.stop() },
        { name: 'waiting requests', stop: () => waits.stop() },
      ],
      draining,
      logger,
    );
  }
}
