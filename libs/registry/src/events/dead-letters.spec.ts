import type { Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { DeadLetters, type DeadLetterCursor } from './dead-letters.js';
import { RegistryKeys } from '../keys.js';

const SHARDS = 8;

let redis: Redis;
let keys: RegistryKeys;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(() => {
  keys = new RegistryKeys(`dead-letters${keySpaces++}`);
});

/** Appends a letter about each client, one millisecond after another. */
async function append(letters: readonly { shard: number; clientId: string }[]): Promise<void> {
  const pipeline = redis.pipeline();
  for (const [i, { shard, clientId }] of letters.entries()) {
    const letter = { client_id: clientId, topic: '', reason: 'wrong-shape', details: '', sample: '' };
    pipeline.xadd(keys.deadLetters(shard), `${i + 1}-0`, 'at', i + 1, 'letter', JSON.stringify(letter));
  }
  await pipeline.exec();
}

async function pages(limit: number): Promise<string[][]> {
  const found: string[][] = [];
  let cursor: DeadLetterCursor | undefined;
  do {
    const page = await new DeadLetters(redis, keys, SHARDS).list(limit, cursor);
    found.push(page.letters.map(({ client_id }) => client_id));
    cursor = page.next;
  } while (cursor !== undefined);
  return found;
}

describe('the listing of dead letters', () => {
  it.each([1, 3, 50, 150, 151, 1000])('returns all letters, newest first, in pages of %d', async (limit) => {
    // A third of the letters is in one shard, which is read several times for one page.
    const letters = Array.from({ length: 150 }, (_, i) => ({
      shard: i % 3 === 0 ? 5 : i % SHARDS,
      clientId: `client-${i}`,
    }));
    await append(letters);
    const found = await pages(limit);
    expect(found.flat()).toEqual(letters.map(({ clientId }) => clientId).toReversed());
    expect(found).toHaveLength(Math.ceil(150 / limit));
  });

  it('sorts letters of the same time by shard', async () => {
    const letter = JSON.stringify({ client_id: 'a', topic: '', reason: 'wrong-shape', details: '', sample: '' });
    for (const shard of [4, 1, 6]) await redis.xadd(keys.deadLetters(shard), '7-0', 'at', 7, 'letter', letter);
    const first = await new DeadLetters(redis, keys, SHARDS).list(2);
    expect(first.letters.map(({ shard }) => shard)).toEqual([1, 4]);
    const second = await new DeadLetters(redis, keys, SHARDS).list(2, first.next);
    expect(second.letters.map(({ shard }) => shard)).toEqual([6]);
  });

  it('reads about as many letters of each shard as the page needs', async () => {
    await append(Array.from({ length: 200 * SHARDS }, (_, i) => ({ shard: i % SHARDS, clientId: `client-${i}` })));
    let read = 0;
    const counting = new Proxy(redis, {
      get(target, name): unknown {
        const member: unknown = Reflect.get(target, name, target);
        if (name !== 'xrevrange' || typeof member !== 'function') return member;
        return async (...args: unknown[]): Promise<unknown> => {
          const entries = (await Reflect.apply(member, target, args)) as unknown[];
          read += entries.length;
          return entries;
        };
      },
    });
    const { letters } = await new DeadLetters(counting, keys, SHARDS).list(200);
    expect(letters).toHaveLength(200);
    expect(read).toBeLessThanOrEqual(200 + 2 * 16 * SHARDS);
  });
});
