/** The processes, owners and mailboxes as stored in Redis. It is shown to operators; no process acts on it. */
import type { NoArgs, Redis } from '@app/platform';
import { commands } from './commands.js';
import { listMembers, listMembersOf, type Member, type Named } from './members.js';
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

/** What a dispatcher announces. */
export interface DispatcherAnnouncement extends Named {
  /** When it joined, RFC 3339 by its own clock; a dispatcher of an older release does not say it. */
  since?: string;
  /** Whether it takes shards: it is connected to the broker, and does not stop. */
  takes_shards: boolean;
  /** Why it takes none; a dispatcher of an older release does not say it. */
  reason?: 'stopping' | 'broker-unreachable' | undefined;
}

/** What a gateway announces. */
export interface GatewayAnnouncement extends Named {
  /** When it joined, RFC 3339 by its own clock. */
  since: string;
}

export interface ClusterState {
  members: Member[];
  /** `shards`: how many it owns. */
  dispatchers: (Member<DispatcherAnnouncement> & { shards: number })[];
  gateways: Member<GatewayAnnouncement>[];
  /** `dispatcher`: the owner of the outbound side, as `owner`. */
  shards: (MailboxState & OwnerState & { dispatcher: string | null })[];
  lanes: ({ lane: number } & OwnerState)[];
}

/** The live processes of each role. */
export interface Processes {
  members: Member[];
  dispatchers: Member<DispatcherAnnouncement>[];
  gateways: Member<GatewayAnnouncement>[];
}

export async function readProcesses(redis: Redis, keys: ShardingKeys): Promise<Processes> {
  const [members, dispatchers, gateways] = await Promise.all([
    listMembers(redis, keys),
    listMembersOf<DispatcherAnnouncement>(redis, keys.dispatchers),
    listMembersOf<GatewayAnnouncement>(redis, keys.gateways),
  ]);
  return { members, dispatchers, gateways };
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
  const { members, dispatchers, gateways } = await readProcesses(redis, keys);
  const laneCount = Math.max(0, ...members.map((member) => Math.max(member.wants_lanes, member.knows_lanes)));
  const byBoot = new Map([...members, ...dispatchers].map(({ id }) => [id.slice(id.lastIndexOf('/') + 1), id]));
  const ownersOf = (kind: Resource['kind'], count: number): Promise<OwnerState[]> =>
    Promise.all(
      Array.from({ length: count }, async (_, index) => {
        const fence = await redis.get(keys.owner({ kind, index }));
        if (fence === null) return { owner: null, epoch: null };
        const boot = fence.slice(fence.indexOf(':') + 1);
        return { owner: byBoot.get(boot) ?? boot, epoch: Number.parseInt(fence, 10) };
      }),
    );
  const shardIndices = Array.from({ length: shardCount }, (_, index) => index);
  const [mailboxes, shardOwners, outboundOwners, laneOwners] = await Promise.all([
    readMailboxes(redis, keys, shardIndices),
    ownersOf('shard', shardCount),
    ownersOf('outbound', shardCount),
    ownersOf('lane', laneCount),
  ]);
  return {
    members,
    dispatchers: dispatchers.map((one) => ({
      ...one,
      shards: outboundOwners.filter(({ owner }) => owner === one.id).length,
    })),
    gateways,
    shards: mailboxes.map((mailbox, shard) => ({
      owner: null,
      epoch: null,
      ...mailbox,
      ...shardOwners[shard],
      dispatcher: outboundOwners[shard]?.owner ?? null,
    })),
    lanes: laneOwners.map((owner, lane) => ({ lane, ...owner })),
  };
}
