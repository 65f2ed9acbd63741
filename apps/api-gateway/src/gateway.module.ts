import { randomUUID } from 'node:crypto';
import { Module, type DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import {
  Draining,
  HealthController,
  LOGGER,
  MemoryWatch,
  MetricsController,
  READINESS_CHECKS,
  SETTINGS,
  connectRedis,
  redisTrouble,
  type Logger,
  type ReadinessCheck,
} from '@app/platform';
import {
  CommandReplies,
  ConnectionDirectory,
  DeadLetters,
  EventBell,
  EventReader,
  Maintenance,
  Messages,
  RegistryKeys,
  Sweeps,
  WakeUps,
} from '@app/registry';
import { Mailboxes } from '@app/sharding';
import { accessProviders } from './access/access.providers.js';
import { ClusterController } from './cluster/cluster.controller.js';
import { ConnectionCommands } from './connections/connection-commands.js';
import { ConnectionsController } from './connections/connections.controller.js';
import { EventFeed } from './events/event-feed.js';
import { EventsController } from './events/events.controller.js';
import { GATEWAY_PARTS, Gateway, type GatewayParts } from './gateway.js';
import type { GatewaySettings } from './gateway.settings.js';
import { MessageSender } from './messages/message-sender.js';
import { StorageBudget } from './messages/storage-budget.js';
import { MessagesController } from './messages/messages.controller.js';

export const CONTROLLERS = [
  ClusterController,
  ConnectionsController,
  EventsController,
  MessagesController,
  HealthController,
  MetricsController,
];

/** An event stream of which nothing is taken for so long is ended. */
const EVENT_STALLED_MS = 60_000;

@Module({})
export class GatewayModule {
  static wire(settings: GatewaySettings, logger: Logger): DynamicModule {
    const { REDIS_URL, SHARD_COUNT } = settings;
    const keys = new RegistryKeys(settings.KEY_PREFIX);
    const redis = connectRedis(REDIS_URL, { name: 'gateway', whenAway: 'fail' }, logger);
    const subscriber = connectRedis(REDIS_URL, { name: 'gateway-replies', whenAway: 'wait' }, logger);
    const replies = new CommandReplies(subscriber, keys.replies(randomUUID()), logger);
    const events = connectRedis(REDIS_URL, { name: 'gateway-events', whenAway: 'wait' }, logger);
    const feed = new EventFeed(
      new EventReader(redis, keys, SHARD_COUNT),
      new EventBell(events, keys),
      {
        subscribers: settings.EVENT_STREAMS,
        bufferBytes: settings.EVENT_BUFFER_BYTES,
        totalBufferBytes: settings.EVENT_BUFFER_TOTAL,
        heartbeatMs: settings.EVENT_HEARTBEAT,
        stalledMs: EVENT_STALLED_MS,
      },
      logger,
    );
    const shardKeys = Array.from({ length: SHARD_COUNT }, (_, shard) => keys.outboxBytes(shard));
    const storage = new StorageBudget(
      redis,
      keys,
      new MemoryWatch(redis, shardKeys, logger),
      {
        shardCount: SHARD_COUNT,
        highWater: settings.MEMORY_HIGH_WATER,
        shardBytes: settings.SHARD_OUTBOX_BYTES,
        accountBytes: settings.ACCOUNT_OUTBOX_BYTES,
      },
      logger,
    );
    const parts: GatewayParts = {
      redis,
      // Large messages are on their way there for a while; what others ask for does not wait behind them.
      accepting: connectRedis(REDIS_URL, { name: 'gateway-accept', whenAway: 'fail', commandMs: 'none' }, logger),
      subscriber,
      starter: connectRedis(REDIS_URL, { name: 'gateway-start', whenAway: 'wait' }, logger),
      keys,
      replies,
      feed,
      storage,
      wakeUps: new WakeUps(redis, keys),
      maintenance: new Maintenance(redis, keys),
      shardCount: SHARD_COUNT,
    };
    const limits = {
      shardCount: SHARD_COUNT,
      outboxLimit: settings.OUTBOX_LIMIT,
      shardLimit: settings.SHARD_OUTBOX_LIMIT,
      retentionMs: settings.MESSAGE_RETENTION,
      idempotencyMs: settings.IDEMPOTENCY_RETENTION,
      outboxBytes: settings.OUTBOX_BYTES,
      get shardBytes() {
        return storage.shardBytes;
      },
    };
    const { accepting } = parts;
    const mailboxes = new Mailboxes(redis, keys, settings.MAILBOX_LIMIT, undefined, { bytes: settings.MAILBOX_BYTES });
    return {
      module: GatewayModule,
      imports: [TerminusModule.forRoot({ logger: false })],
      controllers: CONTROLLERS,
      providers: [
        Draining,
        Gateway,
        { provide: SETTINGS, useValue: settings },
        { provide: LOGGER, useValue: logger },
        ...accessProviders(settings, redis, keys, logger),
        { provide: GATEWAY_PARTS, useValue: parts },
        { provide: ConnectionDirectory, useValue: new ConnectionDirectory(redis, keys, SHARD_COUNT) },
        { provide: DeadLetters, useValue: new DeadLetters(redis, keys, SHARD_COUNT) },
        { provide: EventFeed, useValue: feed },
        { provide: Sweeps, useValue: new Sweeps(redis, keys, SHARD_COUNT) },
        { provide: Messages, useValue: new Messages(redis, keys, limits) },
        {
          provide: MessageSender,
          useValue: new MessageSender(accepting, new Messages(accepting, keys, limits), parts.wakeUps, storage, logger),
        },
        {
          provide: ConnectionCommands,
          useValue: new ConnectionCommands(mailboxes, replies, SHARD_COUNT, settings.COMMAND_TIMEOUT),
        },
        { provide: READINESS_CHECKS, useFactory: checks(redis), inject: [Gateway] },
      ],
    };
  }
}

/** Once ready, the gateway stays ready while Redis is away, so that callers get a 503 with advice. */
function checks(redis: GatewayParts['redis']): (gateway: Gateway) => ReadinessCheck[] {
  return (gateway) => [
    {
      name: 'redis',
      check: async () => {
        if (!gateway.wasReady) return { down: 'the key space has not been read yet' };
        const trouble = await redisTrouble(redis);
        return trouble === undefined ? 'up' : { degraded: trouble };
      },
    },
  ];
}
