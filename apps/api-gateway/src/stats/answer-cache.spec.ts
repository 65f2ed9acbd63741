import { AnswerCache } from './answer-cache.js';

let now: number;
let reads: number;
let cache: AnswerCache<number>;

beforeEach(() => {
  [now, reads] = [0, 0];
  cache = new AnswerCache(1000, () => now);
});

const read = (): Promise<number> => Promise.resolve(++reads);

describe('an answer that is kept', () => {
  it('is given to everybody who asks for the same until its time is over', async () => {
    expect(await Promise.all([cache.get('a', read), cache.get('a', read)])).toEqual([1, 1]);
    now = 999;
    expect(await cache.get('a', read)).toBe(1);
    now = 1000;
    expect(await cache.get('a', read)).toBe(2);
  });

  it('is given to nobody who asks for another', async () => {
    expect([await cache.get('a', read), await cache.get('b', read)]).toEqual([1, 2]);
  });

  it('is no failure', async () => {
    await expect(cache.get('a', () => Promise.reject(new Error('Redis is away')))).rejects.toThrow('Redis is away');
    expect(await cache.get('a', read)).toBe(1);
  });

  it('is the oldest that goes if there are too many', async () => {
    for (let i = 0; i < 1500; i++) await cache.get(`${i}`, read);
    expect(cache.size).toBe(1000);
    expect(await cache.get('1499', read)).toBe(1500);
    expect(await cache.get('0', read)).toBe(1501);
  });
});
