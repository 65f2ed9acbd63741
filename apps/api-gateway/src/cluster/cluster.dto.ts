/** The cluster as the REST API shows it. */
import { isOver, type MasterMemory, type MemoryMark } from '@app/platform';
import type { BrokerRecord } from '@app/registry';
import type { ClusterState } from '@app/sharding';
import { z } from 'zod';
import { ShardNumber, countOf, timeOf } from '../http/values.dto.js';
import { BrokerBody } from './broker.dto.js';

const owner = {
  owner: z.string().nullable().meta({ description: 'The member that owns it; null if no member does.' }),
  epoch: z.int().nullable().meta({ description: 'Rises with each change of the owner.' }),
};

const Fitness = z.enum(['fit', 'troubled', 'unfit']).meta({
  id: 'MemberFitness',
  description:
    'Whether an ingester can work: `troubled` if it cannot reach the broker, or could not a moment ago; `unfit` if that lasts and ' +
    'another member is fit, which then takes over its shards and lanes.',
});
const Reason = z.enum(['broker-unreachable', 'redis-unreachable', 'recovering', 'stopping']).meta({
  id: 'MemberReason',
  description:
    'Why a process of the service does not work, as it reports itself. `broker-unreachable`: it is not connected to the broker. ' +
    '`redis-unreachable`: a part of Redis does not answer it. `recovering`: the failure is over, but has been for less than a ' +
    '`LEASE_TIME`. `stopping`: it is being stopped.',
});
const nameOf = (app: string): z.ZodString =>
  z.string().meta({ description: `Name of the ${app}; its host, by default.` });

const Member = z
  .object({
    id: z.string().meta({ description: 'Name and boot id: a restarted process is a new member.' }),
    name: nameOf('ingester'),
    since: timeOf('When it became a member.'),
    draining: z.boolean().meta({ description: 'It is stopping and releases its shards and lanes.' }),
    fitness: Fitness,
    reason: Reason.nullable().meta({
      description: 'Why it is not `fit`. null: it is `fit`, or of an older release, which does not say it.',
    }),
    shards: countOf('Number of shards that it reports to own.'),
    lanes: countOf('Number of lanes that it reports to own.'),
  })
  .meta({ id: 'ClusterMember', description: 'An ingester.' });

const Dispatcher = z
  .object({
    id: z.string().meta({ description: 'Name and boot id: a restarted process is a new dispatcher.' }),
    name: nameOf('dispatcher'),
    since: timeOf('').nullable().meta({ description: 'null: it is of an older release, which does not say it.' }),
    takes_shards: z
      .boolean()
      .meta({ description: 'Whether it works: it is connected to the broker and does not stop.' }),
    reason: Reason.nullable().meta({
      description: 'Why it takes no shards. null: it takes them, or is of an older release, which does not say it.',
    }),
    shards: countOf('Number of shards whose messages it sends now. A shard at rest needs no dispatcher.'),
  })
  .meta({ id: 'ClusterDispatcher', description: 'A dispatcher.' });

const Gateway = z
  .object({
    id: z.string().meta({ description: 'Name and boot id: a restarted process is a new gateway.' }),
    name: nameOf('gateway'),
    since: timeOf('When it became a member.'),
  })
  .meta({ id: 'ClusterGateway', description: 'A gateway.' });

const Shard = z
  .object({
    shard: ShardNumber,
    ...owner,
    dispatcher: z.string().nullable().meta({
      description: 'The dispatcher that sends its messages; null if there is nothing to send, or no dispatcher.',
    }),
    mailbox_depth: countOf('Entries that wait for the owner.'),
    mailbox_lag_ms: countOf('How long the oldest entry has been waiting, in milliseconds.'),
  })
  .meta({ id: 'ClusterShard', description: 'A part of the connections, with one owner.' });

const RedisMaster = z
  .object({
    used_bytes: countOf('What Redis compares with its `maxmemory`.'),
    limit_bytes: countOf('').nullable().meta({ description: 'Its `maxmemory`; null: it has none.' }),
    full: z.boolean().meta({ description: 'It is above `MEMORY_HIGH_WATER`, so new messages get 503 `storage-full`.' }),
  })
  .meta({ id: 'ClusterRedis', description: 'The memory of a master of Redis.' });

const Lane = z
  .object({ lane: z.int().min(0).meta({ description: 'Number of the lane.' }), ...owner })
  .meta({ id: 'ClusterLane', description: 'A session of the service at the broker, with one owner.' });

export const ClusterBody = z
  .object({
    members: z.array(Member).meta({ description: 'The ingesters.' }),
    dispatchers: z.array(Dispatcher).meta({ description: 'The dispatchers.' }),
    gateways: z.array(Gateway).meta({ description: 'The gateways.' }),
    shards: z.array(Shard).meta({ description: 'All shards.' }),
    lanes: z.array(Lane).meta({ description: 'All lanes.' }),
    redis: z.array(RedisMaster).meta({ description: 'Each master of Redis.' }),
    dead_letters: countOf('How many dead letters are kept.'),
    broker: BrokerBody.nullable().meta({
      description: 'What ingesters found out about the broker. null before the first check.',
    }),
  })
  .meta({ id: 'Cluster', description: 'The processes of the service, and who owns what.' });
export type ClusterBody = z.infer<typeof ClusterBody>;

/** What the cluster body has besides the state of the cluster. */
export interface ClusterFacts {
  broker: BrokerRecord | undefined;
  masters: readonly MasterMemory[];
  /** `MEMORY_HIGH_WATER`. */
  highWater: MemoryMark;
  deadLetters: number;
}

export function toClusterBody(
  state: ClusterState,
  { broker, masters, highWater, deadLetters }: ClusterFacts,
): ClusterBody {
  const { members, dispatchers, gateways, shards, lanes } = state;
  return {
    members: members.map(({ id, name, since, draining, fitness, reason = null, ...owned }) => ({
      id,
      name,
      since,
      draining,
      fitness,
      reason,
      shards: owned.shards.length,
      lanes: owned.lanes.length,
    })),
    dispatchers: dispatchers.map(({ id, name, since = null, takes_shards, reason = null, shards: owned }) => ({
      id,
      name,
      since,
      takes_shards,
      reason,
      shards: owned,
    })),
    gateways: gateways.map(({ id, name, since }) => ({ id, name, since })),
    shards: shards.map(({ shard, owner, epoch, dispatcher, depth, oldestMs }) => ({
      shard,
      owner,
      epoch,
      dispatcher,
      mailbox_depth: depth,
      mailbox_lag_ms: oldestMs,
    })),
    lanes,
    redis: masters.map((memory) => ({
      used_bytes: memory.usedBytes,
      limit_bytes: memory.maxBytes ?? null,
      full: isOver(memory, highWater),
    })),
    dead_letters: deadLetters,
    broker: broker ?? null,
  };
}
