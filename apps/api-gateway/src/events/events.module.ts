/**
 * In: the event logs of all shards, read once for the whole process. Out: server-sent events, to each subscriber at its pace.
 * Invariants: the events of one connection come in order; a stream that resumes with a cursor misses no event without a `gap`;
 * a slow subscriber takes no more memory than its buffer.
 */
import { Module } from '@nestjs/common';
import { LOGGER, REDIS, SETTINGS, type Logger, type NamedConnection, type Redis } from '@app/platform';
import { EventNotifier, EventReader, RegistryKeys, RegistryModule } from '@app/registry';
import { AccessModule } from '../access/access.module.js';
import { EventFeed } from './event-feed.js';
import { EventsController } from './events.controller.js';
import type { EventsSettings } from './events.settings.js';

/** Used for blocking reads only. */
export const EVENTS_REDIS: NamedConnection = {
  token: Symbol('EVENTS_REDIS'),
  name: 'gateway-events',
  whenAway: 'wait',
};

/** How long a client may read nothing before its stream is ended. */
const EVENT_STALLED_MS = 60_000;

@Module({
  imports: [AccessModule, RegistryModule],
  controllers: [EventsController],
  providers: [
    {
      provide: EventFeed,
      inject: [REDIS, EVENTS_REDIS.token, RegistryKeys, SETTINGS, LOGGER],
      useFactory: (redis: Redis, blocked: Redis, keys: RegistryKeys, settings: EventsSettings, logger: Logger) =>
        new EventFeed(
          new EventReader(redis, keys, settings.SHARD_COUNT),
          new EventNotifier(blocked, keys),
          {
            subscribers: settings.EVENT_STREAMS,
            bufferBytes: settings.EVENT_BUFFER_BYTES,
            totalBufferBytes: settings.EVENT_BUFFER_TOTAL,
            heartbeatMs: settings.EVENT_HEARTBEAT,
            stalledMs: EVENT_STALLED_MS,
          },
          logger,
        ),
    },
  ],
  exports: [EventFeed],
})
export class EventsModule {}
