import fc from 'fast-check';
import { decodeCursor, encodeCursor } from './event-cursor.js';

/** A cursor of release 0.1.0: three shards, at 1,795,000,000,000 ms, 5 ms before that, and without events. */
const CURSOR_OF_0_1_0 = 'AQGh7lZeAAEDBgEA';

it('encodeCursor() encodes the time up to which a reader has the events in 10 characters', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), (ms) => {
      const cursor = encodeCursor(ms);
      expect(cursor).toMatch(/^[A-Za-z0-9_-]{10}$/);
      expect(decodeCursor(cursor)).toBe(ms);
    }),
  );
});

it('decodeCursor() decodes a cursor of release 0.1.0 as its oldest position', () => {
  const bytes = Buffer.alloc(7 + 5);
  bytes[0] = 1;
  bytes.writeUIntBE(1_795_000_000_000, 1, 6);
  bytes.set([1, 3, 6, 1, 0], 7);
  expect(bytes.toString('base64url')).toBe(CURSOR_OF_0_1_0);
  expect(decodeCursor(CURSOR_OF_0_1_0)).toBe(1_795_000_000_000 - 5);
});

it('decodeCursor() decodes a text that is no cursor as undefined', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String()), (text) => {
      const ms = decodeCursor(text);
      // The random text may be a cursor.
      if (ms !== undefined) expect(ms).toBeGreaterThanOrEqual(0);
    }),
  );
  for (const text of ['', 'AA', '1-0', 'AgAAAAAAAAAA', 'AwAAAAAAAA', CURSOR_OF_0_1_0.slice(0, -2)])
    expect(decodeCursor(text)).toBeUndefined();
});
