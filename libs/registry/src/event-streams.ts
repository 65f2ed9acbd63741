/** Reading the event streams of all shards: as they grow, and what stands behind a position. */
import { RedisScript, type Redis } from '@app/platform';
import { streamReader, type ShardStreams, type StreamEntry, type StreamReader } from '@app/sharding';
import type { RegistryKeys } from './registry-keys.js';

/** One event as it is stored: `body` is its JSON text. */
export interface StoredEvent extends StreamEntry {
  /** Epoch milliseconds. */
  at: number;
  /** Of whose connection it tells; undefined where that was not known. */
  account: string | undefined;
}

/** Stands before every event. */
export const BEFORE_ALL = '0-0';

/**
 * KEYS events · ARGV position → 1 where what stood behind the position may have been trimmed, or lost with the stream.
 * The entry at a position that is still there proves that nothing behind it is missing.
 */
const trimmedScript = new RedisScript<0 | 1>(
  'ccTrimmed',
  `if redis.call('EXISTS', KEYS[1]) == 0 then return ARGV[1] == '${BEFORE_ALL}' and 0 or 1 end
   if ARGV[1] ~= '${BEFORE_ALL}' then return #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 and 1 or 0 end
   local info = redis.call('XINFO', 'STREAM', KEYS[1])
   local length, added
   for i = 1, #info, 2 do
     if info[i] == 'length' then length = info[i + 1] end
     if info[i] == 'entries-added' then added = info[i + 1] end
   end
   return length ~= added and 1 or 0`,
);

export class EventStreams {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    readonly shardCount: number,
  ) {}

  /** The position of each shard's last event. */
  async ends(): Promise<string[]> {
    const shards = Array.from({ length: this.shardCount }, (_, shard) => shard);
    const last = await Promise.all(
      shards.map((shard) => this.redis.xrevrange(this.keys.events(shard), '+', '-', 'COUNT', 1)),
    );
    return last.map(([entry]) => entry?.[0] ?? BEFORE_ALL);
  }

  /** At most so many events of a shard behind a position. */
  async after(shard: number, position: string, count: number): Promise<StoredEvent[]> {
    const entries = await this.redis.xrange(this.keys.events(shard), `(${position}`, '+', 'COUNT', count);
    return entries.map(([id, fields]) => decode(id, fields));
  }

  /** Whether events behind the position may be gone. */
  async trimmed(shard: number, position: string): Promise<boolean> {
    return (await trimmedScript.run(this.redis, [this.keys.events(shard)], [position])) === 1;
  }

  /** Reads all streams as they grow. `redis`: a connection of its own. */
  reader(redis: Redis): StreamReader<StoredEvent> {
    const streams: ShardStreams<StoredEvent> = { key: (shard) => this.keys.events(shard), decode };
    return streamReader(redis, streams);
  }
}

function decode(id: string, [, at = '', , body = '', , account]: readonly string[]): StoredEvent {
  return { id, at: Number(at), body, account };
}
