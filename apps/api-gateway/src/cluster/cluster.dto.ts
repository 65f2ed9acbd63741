/** The cluster as the REST API shows it. */
import type { BrokerRecord } from '@app/registry';
import type { ClusterState } from '@app/sharding';
import { z } from 'zod';
import { BrokerBody } from './broker.dto.js';

const owner = {
  owner: z.string().nullable().meta({ description: 'The member that owns it; null if no member does.' }),
  epoch: z.int().nullable().meta({ description: 'Rises with each change of the owner.' }),
};

const Member = z
  .object({
    id: z.string().meta({ description: 'Name and boot id: a restarted process is a new member.' }),
    name: z.string(),
    since: z.iso.datetime(),
    draining: z.boolean().meta({ description: 'It is stopping and releases its shards and lanes.' }),
    fitness: z.enum(['fit', 'troubled', 'unfit']).meta({
      description:
        'Whether it can work: `troubled` if it cannot reach the broker, or could not a moment ago; `unfit` if that ' +
        'lasts and another member is fit, which then takes over its shards and lanes.',
    }),
    shards: z.int().meta({ description: 'Number of shards that it reports to own.' }),
    lanes: z.int().meta({ description: 'Number of lanes that it reports to own.' }),
  })
  .meta({ id: 'ClusterMember' });

const Shard = z
  .object({
    shard: z.int(),
    ...owner,
    mailbox_depth: z.int().meta({ description: 'Entries that wait for the owner.' }),
    mailbox_lag_ms: z.int().meta({ description: 'How long the oldest entry has been waiting, in milliseconds.' }),
  })
  .meta({ id: 'ClusterShard' });

const Lane = z.object({ lane: z.int(), ...owner }).meta({ id: 'ClusterLane' });

export const ClusterBody = z
  .object({
    members: z.array(Member),
    shards: z.array(Shard),
    lanes: z.array(Lane),
    broker: BrokerBody.nullable().meta({
      description: 'What ingesters found out about the broker. null before the first check.',
    }),
  })
  .meta({ id: 'Cluster' });
export type ClusterBody = z.infer<typeof ClusterBody>;

export function toClusterBody({ members, shards, lanes }: ClusterState, broker: BrokerRecord | undefined): ClusterBody {
  return {
    members: members.map(({ id, name, since, draining, fitness, ...owned }) => ({
      id,
      name,
      since,
      draining,
      fitness,
      shards: owned.shards.length,
      lanes: owned.lanes.length,
    })),
    shards: shards.map(({ shard, owner, epoch, depth, oldestMs }) => ({
      shard,
      owner,
      epoch,
      mailbox_depth: depth,
      mailbox_lag_ms: oldestMs,
    })),
    lanes,
    broker: broker ?? null,
  };
}
