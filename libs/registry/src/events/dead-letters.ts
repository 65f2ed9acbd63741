/** Lists the dead letters of all shards, newest first. */
import type { Redis } from '@app/platform';
import type { DeadLetter } from './event.js';
import type { RegistryKeys } from '../keys.js';

export interface StoredDeadLetter extends DeadLetter {
  /** Epoch milliseconds of the Redis clock. */
  at: number;
  shard: number;
}

/** The last letter of a page. Letters are sorted by id in their stream, newest first, and then by shard. */
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

/** Letters that are read of a shard at a time: most pages need few letters of each shard. */
const BATCH = 16;

export class DeadLetters {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shardCount: number,
  ) {}

  /** How many are kept. */
  async count(): Promise<number> {
    const shards = Array.from({ length: this.shardCount }, (_, shard) => this.redis.xlen(this.keys.deadLetters(shard)));
    return (await Promise.all(shards)).reduce((sum, length) => sum + length, 0);
  }

  async list(limit: number, cursor?: DeadLetterCursor): Promise<DeadLetterPage> {
    const shards = Array.from({ length: this.shardCount }, (_, shard) => ({
      shard,
      entries: [] as Entry[],
      from: cursor === undefined ? '+' : shard > cursor.shard ? cursor.id : `(${cursor.id}`,
      isComplete: false,
    }));
    for (;;) {
      const entries = shards.flatMap((one) => one.entries).sort(newestFirst);
      const next = entries[limit];
      // Read on in a shard whose oldest letter read so far would be on this page.
      const due = shards.filter(({ entries: read, isComplete }) => {
        const oldest = read.at(-1);
        return !isComplete && (oldest === undefined || next === undefined || newestFirst(oldest, next) < 0);
      });
      if (due.length === 0) return pageOf(entries, limit);
      await Promise.all(
        due.map(async (one) => {
          const older = await this.readFrom(one.shard, one.from);
          one.entries.push(...older);
          one.from = `(${older.at(-1)?.id}`;
          one.isComplete = older.length < BATCH;
        }),
      );
    }
  }

  private async readFrom(shard: number, from: string): Promise<Entry[]> {
    const entries = await this.redis.xrevrange(this.keys.deadLetters(shard), from, '-', 'COUNT', BATCH);
    return entries.map(([id, fields]) => {
      const value = (name: string): string => fields[fields.indexOf(name) + 1] ?? '';
      const letter = JSON.parse(value('letter')) as DeadLetter;
      return { id, shard, letter: { ...letter, at: Number(value('at')), shard } };
    });
  }
}

function pageOf(entries: readonly Entry[], limit: number): DeadLetterPage {
  const page = entries.slice(0, limit);
  const letters = page.map(({ letter }) => letter);
  const last = page.at(-1);
  return entries.length > limit && last !== undefined
    ? { letters, next: { id: last.id, shard: last.shard } }
    : { letters };
}

function newestFirst(a: Entry, b: Entry): number {
  const [aMs = 0, aNumber = 0] = a.id.split('-').map(Number);
  const [bMs = 0, bNumber = 0] = b.id.split('-').map(Number);
  return bMs - aMs || bNumber - aNumber || a.shard - b.shard;
}
