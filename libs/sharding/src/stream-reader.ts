import { isCluster, type Redis } from '@app/platform';
import { BlockingReader } from './blocking-reader.js';
import { PollingReader } from './polling-reader.js';
import type { AdaptiveBatchSize } from './adaptive-batch-size.js';
import type { ShardStreams, StreamEntry, StreamReader } from './shard-stream.js';

/**
 * One command can read all streams of a single Redis, but only those of one hash slot of a Redis Cluster.
 * @param redis a connection that nothing else uses
 * @param control a connection through which reads are interrupted
 */
export function streamReader<Entry extends StreamEntry>(
  redis: Redis,
  streams: ShardStreams<Entry>,
  batchSize?: Pick<AdaptiveBatchSize, 'count' | 'recordRead'>,
  control?: Redis,
): StreamReader<Entry> {
  return isCluster(redis)
    ? new PollingReader(redis, streams, batchSize)
    : new BlockingReader(redis, streams, batchSize, control);
}
