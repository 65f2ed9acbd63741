import { isCluster, type Redis } from '@app/platform';
import { BlockingReader } from './blocking-reader.js';
import { PollingReader } from './polling-reader.js';
import type { AdaptiveBatchSize } from './adaptive-batch-size.js';
import type { ShardStreams, StreamEntry, StreamReader } from './shard-stream.js';

/** One command can read all streams of one Redis, but only those of one hash slot of a Redis Cluster. */
export function streamReader<Entry extends StreamEntry>(
  /** A connection of its own. */
  redis: Redis,
  streams: ShardStreams<Entry>,
  size?: Pick<AdaptiveBatchSize, 'count' | 'brought'>,
): StreamReader<Entry> {
  return isCluster(redis) ? new PollingReader(redis, streams, size) : new BlockingReader(redis, streams, size);
}
