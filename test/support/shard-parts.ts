/** The classes that act for a shard, wired as in `shard.module.ts`, for specs that drive them by hand. */
import { TopicTemplate } from '@app/protocol';
import { Publisher, RetainedReader } from '@app/broker';
import type { Logger, Redis } from '@app/platform';
import {
  ConnectionDirectory,
  DueTodos,
  FencedCommit,
  Outboxes,
  Refusals,
  WakeUps,
  ringOutboundOf,
  type RegistryKeys,
} from '@app/registry';
import { Mailboxes } from '@app/sharding';
import { Verifier } from '../../apps/status-ingester/src/reconciliation/verifier.js';
import { ToDoRunner } from '../../apps/status-ingester/src/shard/todo-runner.js';
import { ShardActor } from '../../apps/status-ingester/src/shard/shard-actor.js';
import { toDoKinds, type ToDoDependencies } from '../../apps/status-ingester/src/shard/todo-catalogue.js';
import type { Rules } from '../../apps/status-ingester/src/rules/effect.js';
import { quiet } from './servers.js';

export interface ShardParts {
  actor: ShardActor;
  commits: FencedCommit;
  due: DueTodos;
  effects: ToDoRunner;
  mailboxes: Mailboxes;
  verifier: Verifier;
  stop(): Promise<void>;
}

export interface ShardPartsOptions {
  redis: Redis;
  keys: RegistryKeys;
  brokerUrl: string;
  shardCount: number;
  rules: Rules;
  /** Absent if accounts are not in use. */
  accounts?: ToDoDependencies['accounts'];
  /** Whether large payloads of answers are kept; they are by default. */
  keepsLargeAnswers?: () => boolean;
  /** Logger of the shard actor. */
  logger?: Logger;
}

export const IN_TOPIC = 'redhat/insights/in/{clientId}';

export const SHARD_RULES: Rules = {
  statusTopics: [IN_TOPIC],
  inTopic: IN_TOPIC,
  respond: false,
  connectionRetentionMs: 90 * 86_400_000,
  maxInboundBytes: 262_144,
  eventSettleMs: 2000,
  lanes: 1,
};

export function shardParts({
  redis,
  keys,
  brokerUrl: url,
  shardCount,
  rules,
  accounts,
  keepsLargeAnswers = () => true,
  logger = quiet,
}: ShardPartsOptions): ShardParts {
  const mailboxes = new Mailboxes(redis, keys, 10_000);
  const commits = new FencedCommit(redis, keys);
  const directory = new ConnectionDirectory(redis, keys, shardCount);
  const due = new DueTodos(redis, keys);
  const publisher = new Publisher({ url }, `publisher-${keys.prefix}`, quiet);
  const wakeUps = new WakeUps(redis, keys);
  const verifier = new Verifier({
    reader: new RetainedReader({ url }, `reader-${keys.prefix}`, 'sentinel', quiet),
    barrier: { pass: () => Promise.resolve() },
    facts: { absenceProvable: true },
    mailboxes,
    redis,
    statusTopics: rules.statusTopics.map((topic) => new TopicTemplate(topic)),
    maxInboundBytes: rules.maxInboundBytes,
    rate: 5000,
    logger: quiet,
  });
  const kinds = toDoKinds({
    verifier,
    accounts,
    refusals: new Refusals(redis, keys),
    ringOutbound: (shard) => ringOutboundOf(redis, keys, shard, wakeUps),
    outboxes: new Outboxes(redis, keys, shardCount),
    directory,
    mailboxes,
    publisher,
    outTopic: new TopicTemplate('redhat/insights/out/{clientId}'),
    logger: quiet,
  });
  const effects = new ToDoRunner(kinds, due, quiet);
  const retention = { keepsLargeAnswers };
  const actor = new ShardActor(
    ...([redis, keys, commits, directory, effects, verifier, rules, shardCount, retention, logger] as const),
  );
  const stop = async (): Promise<void> => {
    await effects.stop();
    await verifier.stop();
    await Promise.all([publisher.close(), wakeUps.close()]);
  };
  return { actor, commits, due, effects, mailboxes, verifier, stop };
}
