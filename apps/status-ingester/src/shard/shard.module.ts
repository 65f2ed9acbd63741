/**
 * In: mailboxes of the owned shards, and what is due on them. Out: connections, events, dead letters and to-dos, written by
 * fenced commits; to-dos run after their commit. Invariants: the entries of a shard are applied in order, by one owner (S1),
 * with its epoch (S2); a to-do is removed from Redis only after it was done; while Redis is away, the shards wait for it (S7).
 */
import { Module, type DynamicModule, type ModuleMetadata, type Type } from '@nestjs/common';
import { Publisher } from '@app/broker';
import { LOGGER, MemoryWatch, REDIS, SETTINGS, type Logger, type NamedConnection, type Redis } from '@app/platform';
import {
  ConnectionDirectory,
  DueTodos,
  FencedCommit,
  Outboxes,
  Refusals,
  RegistryKeys,
  RegistryModule,
  WakeUps,
  ringOutboundOf,
} from '@app/registry';
import { LeasedOwnership, Mailboxes, OwnerLoop, mailboxReader } from '@app/sharding';
import type { Rules } from '../rules/effect.js';
import { ShardingModule } from '../sharding/sharding.module.js';
import { ByteRecount } from './byte-recount.js';
import { EventRetention } from './event-retention.js';
import { Housekeeping } from './housekeeping.js';
import { exposeMailboxes } from './mailbox-gauges.js';
import { ACCOUNTS, VERIFICATION, type Accounts, type Verifications } from './ports.js';
import { RetentionLimits } from './retention-limits.js';
import { ShardActor } from './shard-actor.js';
import type { ShardSettings } from './shard.settings.js';
import { toDoKinds } from './todo-catalogue.js';
import { ToDoRunner } from './todo-runner.js';

/** Blocks while it waits for mailbox entries. */
export const MAILBOXES_REDIS: NamedConnection = {
  token: Symbol('MAILBOXES_REDIS'),
  name: 'ingester-mailboxes',
  whenAway: 'wait',
};

export interface ShardModuleOptions extends Pick<ModuleMetadata, 'imports'> {
  /** Classes that `imports` export, to be used for the ports of the shard. */
  verification: Type<Verifications>;
  accounts: Type<Accounts>;
}

@Module({})
export class ShardModule {
  static of({ imports = [], verification, accounts }: ShardModuleOptions): DynamicModule {
    return {
      module: ShardModule,
      imports: [RegistryModule, ShardingModule, ...imports],
      providers: [
        { provide: VERIFICATION, useExisting: verification },
        { provide: ACCOUNTS, useExisting: accounts },
        {
          provide: RetentionLimits,
          inject: [SETTINGS, MemoryWatch],
          useFactory: (settings: ShardSettings, memory: MemoryWatch) => new RetentionLimits(settings, memory),
        },
        {
          provide: DueTodos,
          inject: [REDIS, RegistryKeys, RetentionLimits],
          useFactory: (redis: Redis, keys: RegistryKeys, limits: RetentionLimits) =>
            new DueTodos(redis, keys, (shard) => limits.finished(shard)),
        },
        {
          provide: ToDoRunner,
          inject: [
            VERIFICATION,
            ACCOUNTS,
            REDIS,
            RegistryKeys,
            WakeUps,
            ConnectionDirectory,
            Mailboxes,
            Publisher,
            DueTodos,
            SETTINGS,
            LOGGER,
          ],
          useFactory: toDoRunner,
        },
        {
          provide: ShardActor,
          inject: [
            REDIS,
            RegistryKeys,
            FencedCommit,
            ConnectionDirectory,
            ToDoRunner,
            VERIFICATION,
            ACCOUNTS,
            SETTINGS,
            RetentionLimits,
            LOGGER,
          ],
          useFactory: (
            redis: Redis,
            keys: RegistryKeys,
            commits: FencedCommit,
            directory: ConnectionDirectory,
            todos: ToDoRunner,
            verifier: Verifications,
            accounts: Accounts | undefined,
            settings: ShardSettings,
            retention: RetentionLimits,
            logger: Logger,
          ) => {
            const rules = rulesOf(settings, accounts);
            const { SHARD_COUNT } = settings;
            return new ShardActor(
              redis,
              keys,
              commits,
              directory,
              todos,
              verifier,
              rules,
              SHARD_COUNT,
              retention,
              logger,
            );
          },
        },
        {
          provide: OwnerLoop,
          inject: [MAILBOXES_REDIS.token, REDIS, RegistryKeys, FencedCommit, ShardActor, LeasedOwnership, LOGGER],
          useFactory: (
            redis: Redis,
            control: Redis,
            keys: RegistryKeys,
            commits: FencedCommit,
            actor: ShardActor,
            ownership: LeasedOwnership,
            logger: Logger,
          ) => new OwnerLoop(mailboxReader(redis, control, keys), commits, actor, ownership, logger),
        },
        {
          provide: Housekeeping,
          inject: [LeasedOwnership, DueTodos, ToDoRunner, LOGGER],
          useFactory: (ownership: LeasedOwnership, due: DueTodos, todos: ToDoRunner, logger: Logger) =>
            new Housekeeping(ownership, due, todos, logger),
        },
        {
          provide: ByteRecount,
          inject: [REDIS, RegistryKeys, LeasedOwnership, LOGGER],
          useFactory: (redis: Redis, keys: RegistryKeys, ownership: LeasedOwnership, logger: Logger) =>
            new ByteRecount(redis, keys, ownership, logger),
        },
        {
          provide: EventRetention,
          inject: [LeasedOwnership, REDIS, RegistryKeys, RetentionLimits, LOGGER],
          useFactory: (
            ownership: LeasedOwnership,
            redis: Redis,
            keys: RegistryKeys,
            limits: RetentionLimits,
            logger: Logger,
          ) => new EventRetention(ownership, redis, keys, (shard) => limits.log(shard), logger),
        },
        {
          provide: Symbol('mailbox gauges'),
          inject: [REDIS, RegistryKeys, LeasedOwnership],
          useFactory: exposeMailboxes,
        },
      ],
      exports: [ToDoRunner, OwnerLoop, Housekeeping, ByteRecount, EventRetention],
    };
  }
}

function toDoRunner(
  verifier: Verifications,
  accounts: Accounts | undefined,
  redis: Redis,
  keys: RegistryKeys,
  wakeUps: WakeUps,
  directory: ConnectionDirectory,
  mailboxes: Mailboxes,
  publisher: Publisher,
  due: DueTodos,
  { SHARD_COUNT, OUT_TOPIC: outTopic }: ShardSettings,
  logger: Logger,
): ToDoRunner {
  const kinds = toDoKinds({
    verifier,
    accounts,
    refusals: new Refusals(redis, keys),
    ringOutbound: (shard) => ringOutboundOf(redis, keys, shard, wakeUps),
    outboxes: new Outboxes(redis, keys, SHARD_COUNT),
    directory,
    mailboxes,
    publisher,
    outTopic,
    logger,
  });
  return new ToDoRunner(kinds, due, logger);
}

function rulesOf(settings: ShardSettings, accounts: Accounts | undefined): Rules {
  return {
    statusTopics: settings.STATUS_TOPICS.map(({ template }) => template),
    inTopic: settings.IN_TOPIC.template,
    respond: settings.HANDSHAKE_RESPONSE === 'live',
    connectionRetentionMs: settings.CONNECTION_RETENTION,
    lanes: settings.INTAKE_LANES,
    maxInboundBytes: settings.MAX_INBOUND_BYTES,
    ...(accounts && { accountOf: (clientId: string) => accounts.known(clientId) }),
    eventSettleMs: settings.EVENT_SETTLE,
  };
}
