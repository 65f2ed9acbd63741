/** The Redis keys of members, shards and lanes. All keys of a shard share the hash tag `{s<shard>}`. */
export class ShardingKeys {
  constructor(readonly prefix: string) {}

  /** The first part of every key of a shard. */
  shard(shard: number): string {
    return `${this.prefix}:{s${shard}}`;
  }

  /** Stream: entries that wait for the shard's owner. */
  mailbox(shard: number): string {
    return `${this.shard(shard)}:mailbox`;
  }

  /** String: id of the last mailbox entry that was applied. */
  position(shard: number): string {
    return `${this.shard(shard)}:position`;
  }

  /** Hash: sequence and sizes of the shard's log, see `shard-log.ts`. */
  log(shard: number): string {
    return `${this.shard(shard)}:log`;
  }

  /** Hash: for each lane, `<fence>:<sequence>` of its last append. It makes appends fenced and repeatable. */
  laneFences(shard: number): string {
    return `${this.shard(shard)}:lanes`;
  }

  /** Hash: what scripts that append to the log count in each minute of the last hour, see `minute-counts.ts`. */
  logMinutes(shard: number): string {
    return `${this.log(shard)}:minutes`;
  }

  /** List: names of a lane's last deliveries to the shard, to recognize redeliveries. */
  deliveries(shard: number, lane: number): string {
    return `${this.shard(shard)}:deliveries:${lane}`;
  }

  /** String: the resource's newest epoch (S1). */
  epoch(resource: Resource): string {
    return `${this.leasePrefix(resource)}epoch`;
  }

  /** String that expires with the lease: the present owner's fence, `<epoch>:<boot id>`. */
  owner(resource: Resource): string {
    return `${this.leasePrefix(resource)}owner`;
  }

  /** The members: when each is overdue (sorted set), their announcements (hash), and the version of both (string). */
  get cluster(): GroupKeys {
    return groupOf(`${this.prefix}:{cluster}`);
  }

  /** The same for the dispatchers, which are no members of the cluster of ingesters. */
  get dispatchers(): GroupKeys {
    return groupOf(`${this.prefix}:{dispatchers}`);
  }

  /** The same for the gateways, which only announce that they are there. */
  get gateways(): GroupKeys {
    return groupOf(`${this.prefix}:{gateways}`);
  }

  /** The channel on which each change of the members is published. */
  get clusterChannel(): string {
    return this.cluster.channel;
  }

  private leasePrefix({ kind, index }: Resource): string {
    if (kind === 'lane') return `${this.prefix}:{lane${index}}:`;
    return kind === 'shard' ? `${this.shard(index)}:` : `${this.shard(index)}:outbound-`;
  }
}

/** The keys of a group of processes that know each other, and the channel on which its changes are published. */
export interface GroupKeys {
  alive: string;
  members: string;
  version: string;
  channel: string;
}

function groupOf(tag: string): GroupKeys {
  return { alive: `${tag}:alive`, members: `${tag}:members`, version: `${tag}:version`, channel: `${tag}:changed` };
}

/** What a process can own. */
export interface Resource {
  /** `shard`: the inbound side of a shard; `outbound`: its other side, the messages to its clients. */
  kind: 'shard' | 'lane' | 'outbound';
  index: number;
}

export function nameOf({ kind, index }: Resource): string {
  return `${kind} ${index}`;
}
