/**
 * In: messages that callers send, read and cancel. Out: accepted messages in the outboxes of their clients, and wake-ups of
 * dispatchers. Invariants: a message is stored before its request is answered; a repeat with the same Idempotency-Key sends
 * nothing; outboxes stay within the limits of their connection, shard and account, and of the memory of Redis; a request that
 * waits for its message holds neither its body nor a connection to Redis.
 */
import { Module } from '@nestjs/common';
import { LOGGER, MemoryWatch, REDIS, SETTINGS, type Logger, type NamedConnection, type Redis } from '@app/platform';
import {
  FinalMessages,
  Messages,
  RegistryKeys,
  RegistryModule,
  WakeUps,
  type MessageLimits,
  ConnectionDirectory,
  MessageSearch,
} from '@app/registry';
import { AccessModule } from '../access/access.module.js';
import { CredentialsWatch } from '../access/credentials-watch.js';
import { FinalWaits } from './final-waits.js';
import { MessageSender } from './message-sender.js';
import { MessageSearchController } from './message-search.controller.js';
import { MessagesController } from './messages.controller.js';
import { waitLimits, type MessagesSettings } from './messages.settings.js';
import { Pacing } from './pacing.js';
import { StorageBudget } from './storage-budget.js';
import { Waits } from './waits.js';

/** For accepting messages. Large messages take long to be written; other requests do not wait for them. */
export const ACCEPTING_REDIS: NamedConnection = {
  token: Symbol('ACCEPTING_REDIS'),
  name: 'gateway-accept',
  whenAway: 'fail',
  commandMs: 'none',
};

/** Subscribes to reports of final messages. */
export const FINALS_REDIS: NamedConnection = {
  token: Symbol('FINALS_REDIS'),
  name: 'gateway-finals',
  whenAway: 'wait',
};

@Module({
  imports: [AccessModule, RegistryModule],
  controllers: [MessagesController, MessageSearchController],
  providers: [
    {
      provide: StorageBudget,
      inject: [REDIS, RegistryKeys, SETTINGS, LOGGER],
      useFactory: storageBudget,
    },
    {
      provide: Messages,
      inject: [REDIS, RegistryKeys, SETTINGS, StorageBudget],
      useFactory: (redis: Redis, keys: RegistryKeys, settings: MessagesSettings, storage: StorageBudget) =>
        new Messages(redis, keys, messageLimits(settings, storage)),
    },
    {
      provide: MessageSearch,
      inject: [REDIS, RegistryKeys, ConnectionDirectory],
      useFactory: (redis: Redis, keys: RegistryKeys, directory: ConnectionDirectory) =>
        new MessageSearch(redis, keys, directory),
    },
    {
      provide: MessageSender,
      inject: [ACCEPTING_REDIS.token, RegistryKeys, SETTINGS, StorageBudget, WakeUps, LOGGER],
      useFactory: (
        redis: Redis,
        keys: RegistryKeys,
        settings: MessagesSettings,
        storage: StorageBudget,
        wakeUps: WakeUps,
        logger: Logger,
      ) => {
        const messages = new Messages(redis, keys, messageLimits(settings, storage));
        return new MessageSender(redis, messages, wakeUps, storage, logger);
      },
    },
    {
      provide: FinalWaits,
      inject: [FINALS_REDIS.token, RegistryKeys, Messages, CredentialsWatch, SETTINGS, LOGGER],
      useFactory: (
        subscriber: Redis,
        keys: RegistryKeys,
        messages: Messages,
        credentials: CredentialsWatch,
        settings: MessagesSettings,
        logger: Logger,
      ) =>
        new FinalWaits(
          new Waits(waitLimits(settings), credentials),
          new FinalMessages(subscriber, keys),
          messages,
          logger,
        ),
    },
    {
      provide: Pacing,
      inject: [SETTINGS],
      useFactory: ({ SHARD_COUNT, MAX_CONNECTIONS }: MessagesSettings) => new Pacing(SHARD_COUNT, MAX_CONNECTIONS),
    },
  ],
  exports: [StorageBudget, Pacing, FinalWaits],
})
export class MessagesModule {}

function storageBudget(redis: Redis, keys: RegistryKeys, settings: MessagesSettings, logger: Logger): StorageBudget {
  const { SHARD_COUNT: shardCount } = settings;
  const shardKeys = Array.from({ length: shardCount }, (_, shard) => keys.outboxBytes(shard));
  const limits = {
    shardCount,
    highWater: settings.MEMORY_HIGH_WATER,
    shardBytes: settings.SHARD_OUTBOX_BYTES,
    accountBytes: settings.ACCOUNT_OUTBOX_BYTES,
  };
  return new StorageBudget(redis, keys, new MemoryWatch(redis, shardKeys, logger), limits, logger);
}

function messageLimits(settings: MessagesSettings, storage: StorageBudget): MessageLimits {
  return {
    shardCount: settings.SHARD_COUNT,
    outboxLimit: settings.OUTBOX_LIMIT,
    shardLimit: settings.SHARD_OUTBOX_LIMIT,
    retentionMs: settings.MESSAGE_RETENTION,
    idempotencyMs: settings.IDEMPOTENCY_RETENTION,
    outboxBytes: settings.OUTBOX_BYTES,
    get shardBytes() {
      return storage.shardBytes;
    },
  };
}
