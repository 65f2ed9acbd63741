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

  /** List: names of a lane's last deliveries to the shard, to recognize redeliveries. */
  deliveries(shard: number, lane: number): string {
    return `${this.shard(shard)}:deliveries:${lane}`;
  }

  /** String: the resource's newest epoch (S1). */
  epoch(resource: Resource): string {
    return `${this.tag(resource)}:epoch`;
  }

  /** String that expires with the lease: the present owner's fence, `<epoch>:<boot id>`. */
  owner(resource: Resource): string {
    return `${this.tag(resource)}:owner`;
  }

  /** The members: when each is overdue (sorted set), their announcements (hash), and the version of both (string). */
  get cluster(): { alive: string; members: string; version: string } {
    const tag = `${this.prefix}:{cluster}`;
    return { alive: `${tag}:alive`, members: `${tag}:members`, version: `${tag}:version` };
  }

  /** The channel on which each change of the members is published. */
  get clusterChannel(): string {
    return `${this.prefix}:{cluster}:changed`;
  }

  private tag({ kind, index }: Resource): string {
    return kind === 'shard' ? this.shard(index) : `${this.prefix}:{lane${index}}`;
  }
}

/** A shard or a lane: what a process can own. */
export interface Resource {
  kind: 'shard' | 'lane';
  index: number;
}

export function nameOf({ kind, index }: Resource): string {
  return `${kind} ${index}`;
}
