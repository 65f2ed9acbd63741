/** Waits until an event was appended to any shard. Reads one entry of each stream only, since its content is not used. */
import type { Redis } from '@app/platform';
import { streamReader, type StreamEntry, type StreamReader } from '@app/sharding';
import { EVENT_STREAM_NAMES, eventStreams } from './event-log.js';
import type { ShardPosition } from './event-reader.js';
import type { RegistryKeys } from '../keys.js';

const ONE = { count: 1, recordRead: () => 0 };
const STREAMS = EVENT_STREAM_NAMES.length;

export class EventNotifier {
  private readonly reader: StreamReader<StreamEntry>;
  private interrupt: (() => void) | undefined;

  constructor(
    /** Used by the bell alone, since its reads block the connection; `stop` closes it. */
    private readonly redis: Redis,
    keys: RegistryKeys,
  ) {
    const key = (number: number): string =>
      eventStreams(keys, Math.floor(number / STREAMS))[number % STREAMS]?.key ?? '';
    this.reader = streamReader(redis, { key, decode: (id) => ({ id, text: '' }) }, ONE);
  }

  /** Rejects a pending wait at once, also while Redis is away: ioredis would repeat the read on the next connection. */
  stop(): void {
    this.redis.disconnect();
    this.interrupt?.();
  }

  /** Resolves with the shards that have events after their positions, or with none after a short time. */
  wait(positions: readonly ShardPosition[]): Promise<Set<number>> {
    return new Promise((resolve, reject) => {
      this.interrupt = () => reject(new Error('the wait for events was stopped'));
      this.read(positions).then(resolve, reject);
    });
  }

  private async read(positions: readonly ShardPosition[]): Promise<Set<number>> {
    const numbered = positions.flatMap(({ after }, shard) =>
      after.map((id, stream): [number, string] => [shard * STREAMS + stream, id]),
    );
    const shards = new Set<number>();
    await this.reader.read(new Map(numbered), (number) => {
      shards.add(Math.floor(number / STREAMS));
      return Promise.resolve();
    });
    return shards;
  }
}
