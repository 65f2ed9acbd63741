/**
 * The members of the cluster: who is alive, and what each says it holds. A member lives until its heartbeat is
 * overdue by Redis' clock. What members say only guides the assignment; the leases alone decide who acts.
 */
import type { NoArgs, Redis } from '@app/platform';
import { commands } from './commands.js';
import type { MemberHealth } from './member-health.js';
import type { ShardingKeys } from './sharding-keys.js';

/** What a member announces about itself. */
export interface Announcement {
  /** For people: the pod's or host's name. */
  name: string;
  /** When it began to take part, RFC 3339 by its own clock; for people. */
  since: string;
  /** Format of what it writes: members of a newer one wait until those of an older one have ended. */
  format: number;
  /** How many lanes its settings ask for. */
  wants_lanes: number;
  /** How many lanes it knows to have sessions: more than anybody wants while surplus ones are being drained. */
  knows_lanes: number;
  /** It is stopping: it gives back what it holds. */
  draining: boolean;
  fitness: MemberHealth;
  shards: number[];
  lanes: number[];
}

/** `id`: name and boot id, so that a restart is a new member (S4). */
export type Member = Announcement & { id: string };

export interface Heartbeat {
  /** All live members, oneself included; undefined if nothing has changed since the last heartbeat. */
  members: Member[] | undefined;
  /** The next heartbeat of another member is overdue in so many milliseconds. */
  nextOverdueMs: number | undefined;
}

const heartbeat = commands.load<
  { alive: string; members: string; version: string },
  { member: string; announcement: string; ttl_ms: number; known_version: string; channel: string },
  [version: string, overdueMs: number, ...membersAndAnnouncements: string[]]
>('heartbeat');

const leaveCluster = commands.load<
  { alive: string; members: string; version: string },
  { member: string; channel: string },
  number
>('leave-cluster');

const listLive = commands.load<{ alive: string; members: string }, NoArgs, string[]>('list-members');

export class Members {
  private known = '';

  constructor(
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
    readonly id: string,
    /** A member whose heartbeat is older than this is gone. */
    private readonly ttlMs: number,
  ) {}

  async heartbeat(announcement: Announcement): Promise<Heartbeat> {
    const [version, overdue, ...parts] = await heartbeat.run(this.redis, this.keys.cluster, {
      member: this.id,
      announcement: JSON.stringify(announcement),
      ttl_ms: this.ttlMs,
      known_version: this.known,
      channel: this.keys.clusterChannel,
    });
    const members = version === this.known ? undefined : decode(parts);
    this.known = version;
    return { members, nextOverdueMs: overdue < 0 ? undefined : overdue };
  }

  async leave(): Promise<void> {
    this.known = '';
    const args = { member: this.id, channel: this.keys.clusterChannel };
    await leaveCluster.run(this.redis, this.keys.cluster, args);
  }
}

/** The live members, for one who does not take part. */
export async function listMembers(redis: Redis, keys: ShardingKeys): Promise<Member[]> {
  return decode(await listLive.run(redis, keys.cluster, {}));
}

function decode(parts: readonly string[]): Member[] {
  const members: Member[] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    // Release 0.1.0 announces no format; it writes format 1.
    members.push({
      format: 1,
      ...(JSON.parse(parts[i + 1] ?? '') as Partial<Announcement>),
      id: parts[i] ?? '',
    } as Member);
  }
  return members.sort((a, b) => (a.id < b.id ? -1 : 1));
}
