/**
 * In: requests about connections. Out: connections of the registry; commands in the mailbox of the client's shard.
 * Invariants: only the owner of the shard changes a connection; a caller with an account sees no connection of another one.
 */
import { randomUUID } from 'node:crypto';
import { Module } from '@nestjs/common';
import { LOGGER, REDIS, SETTINGS, type Logger, type NamedConnection, type Redis } from '@app/platform';
import { CommandReplies, RegistryKeys, RegistryModule } from '@app/registry';
import { Mailboxes } from '@app/sharding';
import { AccessModule } from '../access/access.module.js';
import { ConnectionCommands } from './connection-commands.js';
import { ConnectionsController } from './connections.controller.js';
import type { ConnectionsSettings } from './connections.settings.js';

/** Subscribes to the replies of shard owners. */
export const REPLIES_REDIS: NamedConnection = {
  token: Symbol('REPLIES_REDIS'),
  name: 'gateway-replies',
  whenAway: 'wait',
};

@Module({
  imports: [AccessModule, RegistryModule],
  controllers: [ConnectionsController],
  providers: [
    {
      provide: CommandReplies,
      inject: [REPLIES_REDIS.token, RegistryKeys, LOGGER],
      useFactory: (subscriber: Redis, keys: RegistryKeys, logger: Logger) =>
        new CommandReplies(subscriber, keys.replies(randomUUID()), logger),
    },
    {
      provide: Mailboxes,
      inject: [REDIS, RegistryKeys, SETTINGS],
      useFactory: (redis: Redis, keys: RegistryKeys, settings: ConnectionsSettings) =>
        new Mailboxes(redis, keys, settings.MAILBOX_LIMIT, undefined, { bytes: settings.MAILBOX_BYTES }),
    },
    {
      provide: ConnectionCommands,
      inject: [Mailboxes, CommandReplies, SETTINGS],
      useFactory: (mailboxes: Mailboxes, replies: CommandReplies, settings: ConnectionsSettings) =>
        new ConnectionCommands(mailboxes, replies, settings.SHARD_COUNT, settings.COMMAND_TIMEOUT),
    },
  ],
  exports: [CommandReplies],
})
export class ConnectionsModule {}
