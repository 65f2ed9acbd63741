import fc from 'fast-check';
import { decodeCursor, encodeCursor } from './event-cursor.js';

const NOW = 1_795_000_000_000;

const position = fc.oneof(
  fc.constant('0-0'),
  fc.tuple(fc.integer({ min: 1, max: 2 ** 47 }), fc.nat()).map(([ms, sequence]) => `${ms}-${sequence}`),
  fc.tuple(fc.integer({ min: NOW, max: NOW + 60_000 }), fc.nat(20)).map(([ms, sequence]) => `${ms}-${sequence}`),
);

it('says where a reader stands in every shard, and nothing else', () => {
  fc.assert(
    fc.property(fc.array(position, { minLength: 1, maxLength: 300 }), (positions) => {
      const cursor = encodeCursor(positions);
      expect(cursor).toMatch(/^[A-Za-z0-9_-]+$/);
      expect(decodeCursor(cursor, positions.length)).toEqual(positions);
      expect(decodeCursor(cursor, positions.length + 1)).toBeUndefined();
      if (positions.length > 1) expect(decodeCursor(cursor, positions.length - 1)).toBeUndefined();
    }),
  );
});

it('takes a few bytes a shard where shards have told something within the last minutes', () => {
  const positions = Array.from({ length: 32 }, (_, shard) => `${NOW - shard * 1000}-${shard}`);
  expect(encodeCursor(positions).length).toBeLessThan(32 * 6);
});

it('fits a request header with a thousand shards', () => {
  const positions = Array.from({ length: 1024 }, (_, shard) => `${NOW - shard * 86_400_000}-3`);
  expect(encodeCursor(positions).length).toBeLessThan(12_000);
});

it('takes no text for a cursor that is none', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.base64String(), fc.constantFrom('', 'AA', '1-0')), (text) => {
      const positions = decodeCursor(text, 2);
      // Should chance make one, it is one.
      if (positions !== undefined) expect(encodeCursor(positions).length).toBeGreaterThan(0);
    }),
  );
  expect(decodeCursor('', 1)).toBeUndefined();
  expect(decodeCursor('AQAAAAAAAA', 0)).toEqual([]);
  expect(decodeCursor('AgAAAAAAAA', 0)).toBeUndefined();
  expect(decodeCursor(encodeCursor(['5-0']).slice(0, -2), 1)).toBeUndefined();
});
