/** Reading what could not be processed: all shards together, the newest first. */
import type { Redis } from '@app/platform';
import type { DeadLetter } from './event.js';
import type { RegistryKeys } from './registry-keys.js';

export interface StoredDeadLetter extends DeadLetter {
  /** Epoch milliseconds of the Redis clock. */
  at: number;
  shard: number;
}

/** Where a page ends: letters stand in the order of (id in its stream, newest first; shard). */
export interface DeadLetterCursor {
  id: string;
  shard: number;
}

export interface DeadLetterPage {
  letters: StoredDeadLetter[];
  /** Absent on the last page. */
  next?: DeadLetterCursor;
}

interface Entry extends DeadLetterCursor {
  letter: StoredDeadLetter;
}

export class DeadLetters {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shardCount: number,
  ) {}

  async list(limit: number, cursor?: DeadLetterCursor): Promise<DeadLetterPage> {
    const streams = await Promise.all(
      Array.from({ length: this.shardCount }, (_, shard) => this.before(shard, limit + 1, cursor)),
    );
    const entries = streams.flat().sort(newestFirst);
    const page = entries.slice(0, limit);
    const last = page.at(-1);
    const letters = page.map(({ letter }) => letter);
    return entries.length > limit && last !== undefined
      ? { letters, next: { id: last.id, shard: last.shard } }
      : { letters };
  }

  private async before(shard: number, count: number, cursor: DeadLetterCursor | undefined): Promise<Entry[]> {
    const from = cursor === undefined ? '+' : shard > cursor.shard ? cursor.id : `(${cursor.id}`;
    const entries = await this.redis.xrevrange(this.keys.deadLetters(shard), from, '-', 'COUNT', count);
    return entries.map(([id, fields]) => {
      const value = (name: string): string => fields[fields.indexOf(name) + 1] ?? '';
      const letter = JSON.parse(value('letter')) as DeadLetter;
      return { id, shard, letter: { ...letter, at: Number(value('at')), shard } };
    });
  }
}

function newestFirst(a: Entry, b: Entry): number {
  const [aMs = 0, aNumber = 0] = a.id.split('-').map(Number);
  const [bMs = 0, bNumber = 0] = b.id.split('-').map(Number);
  return bMs - aMs || bNumber - aNumber || a.shard - b.shard;
}
