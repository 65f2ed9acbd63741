import fc from 'fast-check';
import { character } from '../../../test/support/unicode.js';
import { newMessageId, shardOfMessageId } from './message-id.js';
import { MAX_SHARD_COUNT } from './shard-hash.js';

/** RFC 9562: version 7, variant 10xx. */
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const shard = fc.integer({ min: 0, max: MAX_SHARD_COUNT - 1 });
/** What 48 bits can hold. */
const time = fc.integer({ min: 0, max: 2 ** 48 - 1 });

describe('newMessageId', () => {
  it('makes a UUIDv7 that carries the time in its first 48 bits and the shard in the 12 after the version', () => {
    fc.assert(
      fc.property(shard, time, (index, at) => {
        const id = newMessageId(index, at);
        expect(id).toMatch(UUID_V7);
        expect(Number.parseInt(id.slice(0, 13).replace('-', ''), 16)).toBe(at);
        expect(Number.parseInt(id.slice(15, 18), 16)).toBe(index);
      }),
      { numRuns: 500 },
    );
  });

  it('writes a known time and shard at the positions that RFC 9562 defines', () => {
    expect(newMessageId(0xabc, 0x017f22e279b0)).toMatch(/^017f22e2-79b0-7abc-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(newMessageId(0, 0)).toMatch(/^00000000-0000-7000-[89ab]/);
  });

  it('uses the clock if no time is given', () => {
    const before = Date.now();
    const at = Number.parseInt(newMessageId(0).slice(0, 13).replace('-', ''), 16);
    expect(at).toBeGreaterThanOrEqual(before);
    expect(at).toBeLessThanOrEqual(Date.now());
  });

  it('never makes the same id twice, also within one millisecond and when the pool of random bytes is refilled', () => {
    const ids = Array.from({ length: 20_000 }, () => newMessageId(7, 1_600_000_000_000));
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('sets the variant for every random byte, and leaves the other 62 bits random', () => {
    const tails = Array.from({ length: 2000 }, () => newMessageId(0, 0).slice(19).replace('-', ''));
    expect(new Set(tails.map((tail) => tail.charAt(0)))).toEqual(new Set(['8', '9', 'a', 'b']));
    for (let position = 1; position < 16; position++) {
      expect(new Set(tails.map((tail) => tail.charAt(position))).size).toBe(16);
    }
  });

  it.each([-1, MAX_SHARD_COUNT, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses %d as a shard', (index) => {
    expect(() => newMessageId(index)).toThrow(RangeError);
    expect(() => newMessageId(index)).toThrow(/must be 0 to 4095/);
  });
});

describe('shardOfMessageId', () => {
  it('finds the shard of every id that newMessageId makes', () => {
    fc.assert(
      fc.property(shard, time, (index, at) => {
        expect(shardOfMessageId(newMessageId(index, at))).toBe(index);
      }),
      { numRuns: 500 },
    );
  });

  it.each([0, 1, 255, 256, MAX_SHARD_COUNT - 1])('finds shard %d in an id of that shard', (index) => {
    expect(shardOfMessageId(newMessageId(index))).toBe(index);
  });

  it.each([
    ['no characters', ''],
    ['UUID version 4', '3fb0c7be-89cb-4f19-84b7-94448f40f769'],
    ['another variant', '017f22e2-79b0-7abc-7000-000000000000'],
    ['capital letters', '017F22E2-79B0-7ABC-8000-000000000000'],
    ['no hyphens', '017f22e279b07abc8000000000000000'],
    ['a space in front', ' 017f22e2-79b0-7abc-8000-000000000000'],
    ['a newline at the end', '017f22e2-79b0-7abc-8000-000000000000\n'],
  ])('finds no shard in an id with %s', (_, id) => {
    expect(shardOfMessageId(id)).toBeUndefined();
  });

  it('finds no shard in arbitrary text, and never throws', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: character }), fc.uuid({ version: [1, 3, 4, 5, 6] })), (text) => {
        expect(shardOfMessageId(text)).toBeUndefined();
      }),
    );
  });
});
