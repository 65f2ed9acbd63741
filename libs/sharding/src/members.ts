/**
 * The members of the cluster and what each announces about itself. A member is live until its heartbeat is overdue by
 * Redis' clock. Announcements only guide the assignment; the leases alone decide which process acts.
 */
import type { NoArgs, Redis } from '@app/platform';
import { commands } from './commands.js';
import type { MemberHealth, MemberHealthWatch } from './member-health.js';
import type { GroupKeys, ShardingKeys } from './sharding-keys.js';

/** What a member announces about itself. */
export interface Announcement {
  /** The pod's or host's name, for operators. */
  name: string;
  /** When the member joined, RFC 3339 by its own clock, for operators. */
  since: string;
  /** Format of the records that it writes. Members with a newer format wait until those with an older one have stopped. */
  format: number;
  /** How many lanes its settings ask for. */
  wants_lanes: number;
  /** How many lanes may have a session at the broker: more than `wants_lanes` while surplus lanes are being drained. */
  knows_lanes: number;
  /** Whether it is stopping: it releases its leases and takes no new ones. */
  draining: boolean;
  fitness: MemberHealth;
  /** Why it is not fit, for operators; a member of an older release does not say it. */
  reason?: MemberHealthWatch['reason'];
  /** The shards and lanes whose leases it holds. */
  shards: number[];
  lanes: number[];
}

/** `id`: name and boot id, so that a restart is a new member (S4). */
export type Member<About = Announcement> = About & { id: string };

/** What an announcement has at least. */
export interface Named {
  /** The pod's or host's name, for operators. */
  name: string;
}

/** A member has come or gone. `overdue`: its heartbeats did not come any more. */
export type MembershipChange =
  { member: string; change: 'joined' } | { member: string; change: 'left'; reason: 'stopped' | 'overdue' };

export interface Heartbeat<About = Announcement> {
  /** All live members, this one included; undefined if nothing has changed since the last heartbeat. */
  members: Member<About>[] | undefined;
  /** Milliseconds until the heartbeat of another member is overdue; undefined if there is no other member. */
  nextOverdueMs: number | undefined;
}

const heartbeat = commands.load<
  { alive: string; members: string; version: string },
  { member: string; announcement: string; ttl_ms: number; known_version: string; channel: string },
  { version: string; overdue_ms: number; joined: 0 | 1; left: string[]; members: string[] }
>('heartbeat');

const leaveCluster = commands.load<
  { alive: string; members: string; version: string },
  { member: string; channel: string },
  0 | 1
>('leave-cluster');

const listLive = commands.load<{ alive: string; members: string }, NoArgs, string[]>('list-members');

/** Never rejects. */
export type MembershipListener = (changes: readonly MembershipChange[]) => Promise<void>;

export class Members<About = Announcement> {
  /** The version of the members that this process has read last. */
  private knownVersion = '';

  constructor(
    private readonly redis: Redis,
    private readonly group: GroupKeys,
    readonly id: string,
    /** After this time without a heartbeat the member is overdue. */
    private readonly ttlMs: number,
    /** Gets each change once: from the member that has come, that stops, or that has found another one to be overdue. */
    private readonly changed: MembershipListener = () => Promise.resolve(),
  ) {}

  async heartbeat(announcement: About): Promise<Heartbeat<About>> {
    const { channel, ...keys } = this.group;
    const reply = await heartbeat.run(this.redis, keys, {
      member: this.id,
      announcement: JSON.stringify(announcement),
      ttl_ms: this.ttlMs,
      known_version: this.knownVersion,
      channel,
    });
    const { version, overdue_ms: overdueMs } = reply;
    const members = version === this.knownVersion ? undefined : decode<About>(reply.members);
    this.knownVersion = version;
    const changes: MembershipChange[] = reply.left.map((member) => ({ member, change: 'left', reason: 'overdue' }));
    if (reply.joined === 1) changes.push({ member: this.id, change: 'joined' });
    if (changes.length > 0) void this.changed(changes);
    return { members, nextOverdueMs: overdueMs < 0 ? undefined : overdueMs };
  }

  async leave(): Promise<void> {
    this.knownVersion = '';
    const { channel, ...keys } = this.group;
    const wasMember = await leaveCluster.run(this.redis, keys, { member: this.id, channel });
    if (wasMember === 1) await this.changed([{ member: this.id, change: 'left', reason: 'stopped' }]);
  }
}

/** The live members of the cluster of ingesters, read by a process that is no member itself. */
export async function listMembers(redis: Redis, keys: ShardingKeys): Promise<Member[]> {
  return listMembersOf<Announcement>(redis, keys.cluster);
}

/** The live members of a group. */
export async function listMembersOf<About>(
  redis: Redis,
  { alive, members }: Pick<GroupKeys, 'alive' | 'members'>,
): Promise<Member<About>[]> {
  return decode<About>(await listLive.run(redis, { alive, members }, {}));
}

/** @param announced member id and announcement in turn */
function decode<About>(announced: readonly string[]): Member<About>[] {
  const members: Member<About>[] = [];
  for (let i = 0; i + 1 < announced.length; i += 2) {
    // Release 0.1.0 announces no format; it writes format 1.
    members.push({ format: 1, ...(JSON.parse(announced[i + 1] ?? '') as About), id: announced[i] ?? '' });
  }
  return members.sort((a, b) => (a.id < b.id ? -1 : 1));
}
