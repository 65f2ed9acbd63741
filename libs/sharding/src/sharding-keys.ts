/** The Redis keys of shards and lanes as actors. All keys of a shard share the hash tag `{s<shard>}`. */
export class ShardingKeys {
  constructor(readonly prefix: string) {}

  /** First part of every key of a shard. */
  shard(shard: number): string {
    return `${this.prefix}:{s${shard}}`;
  }

  /** Stream: what waits for the shard's owner. */
  mailbox(shard: number): string {
    return `${this.shard(shard)}:mailbox`;
  }

  /** String: id of the last mailbox entry that was applied. */
  position(shard: number): string {
    return `${this.shard(shard)}:position`;
  }

  /** Hash: the sequence and the sizes of the shard's log, see `shard-log.ts`. */
  log(shard: number): string {
    return `${this.shard(shard)}:log`;
  }

  /** Hash, lane → `<fence>:<sequence>` of its last append: what makes an append fenced and repeatable. */
  laneFences(shard: number): string {
    return `${this.shard(shard)}:lanes`;
  }

  /** List: names of a lane's last deliveries to the shard, by which one that comes again is known. */
  deliveries(shard: number, lane: number): string {
    return `${this.shard(shard)}:deliveries:${lane}`;
  }

  /** String: the resource's newest epoch (S1). */
  epoch(resource: Resource): string {
    return `${this.tag(resource)}:epoch`;
  }

  /** String that expires with the lease: the fence of the present owner, `<epoch>:<boot id>`. */
  owner(resource: Resource): string {
    return `${this.tag(resource)}:owner`;
  }

  /** The live members: their heartbeats (sorted set), what they announce (hash), and the version of both (string). */
  get cluster(): { alive: string; members: string; version: string } {
    const tag = `${this.prefix}:{cluster}`;
    return { alive: `${tag}:alive`, members: `${tag}:members`, version: `${tag}:version` };
  }

  /** Channel on which each change of the members is published. */
  get clusterChannel(): string {
    return `${this.prefix}:{cluster}:changed`;
  }

  private tag({ kind, index }: Resource): string {
    return kind === 'shard' ? this.shard(index) : `${this.prefix}:{lane${index}}`;
  }
}

/** What can be owned: a shard, or a lane. */
export interface Resource {
  kind: 'shard' | 'lane';
  index: number;
}

export function nameOf({ kind, index }: Resource): string {
  return `${kind} ${index}`;
}
