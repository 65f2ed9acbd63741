/** The members, owners and mailboxes as stored in Redis. It is shown to operators; no process acts on it. */
import type { NoArgs, Redis } from '@app/platform';
import { commands } from './commands.js';
import { listMembers, type Member } from './members.js';
import type { Resource, ShardingKeys } from './sharding-keys.js';

export interface MailboxState {
  shard: number;
  /** How many entries wait. */
  depth: number;
  /** Age of the oldest entry, in milliseconds by Redis' clock; 0 if the mailbox is empty. */
  oldestMs: number;
}

export interface OwnerState {
  /** The member's id, or its boot id alone if it is not a live member; null if nobody holds the lease. */
  owner: string | null;
  epoch: number | null;
}

export interface ClusterState {
  members: Member[];
  shards: (MailboxState & OwnerState)[];
  lanes: ({ lane: number } & OwnerState)[];
}

const mailboxState = commands.load<{ mailbox: string }, NoArgs, [depth: number, oldestMs: number]>('mailbox-state');

export async function readMailboxes(
  redis: Redis,
  keys: ShardingKeys,
  shards: readonly number[],
): Promise<MailboxState[]> {
  return Promise.all(
    shards.map(async (shard) => {
      const [depth, oldestMs] = await mailboxState.run(redis, { mailbox: keys.mailbox(shard) }, {});
      return { shard, depth, oldestMs };
    }),
  );
}

export async function readCluster(redis: Redis, keys: ShardingKeys, shardCount: number): Promise<ClusterState> {
  const members = await listMembers(redis, keys);
  const laneCount = Math.max(0, ...members.map((member) => Math.max(member.wants_lanes, member.knows_lanes)));
  const byBoot = new Map(members.map(({ id }) => [id.slice(id.lastIndexOf('/') + 1), id]));
  const ownerOf = async (resource: Resource): Promise<OwnerState> => {
    const fence = await redis.get(keys.owner(resource));
    if (fence === null) return { owner: null, epoch: null };
    const boot = fence.slice(fence.indexOf(':') + 1);
    return { owner: byBoot.get(boot) ?? boot, epoch: Number.parseInt(fence, 10) };
  };
  const indices = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
  const [mailboxes, shardOwners, laneOwners] = await Promise.all([
    readMailboxes(redis, keys, indices(shardCount)),
    Promise.all(indices(shardCount).map((index) => ownerOf({ kind: 'shard', index }))),
    Promise.all(indices(laneCount).map((index) => ownerOf({ kind: 'lane', index }))),
  ]);
  return {
    members,
    shards: mailboxes.map((mailbox, shard) => ({ owner: null, epoch: null, ...mailbox, ...shardOwners[shard] })),
    lanes: laneOwners.map((owner, lane) => ({ lane, ...owner })),
  };
}
