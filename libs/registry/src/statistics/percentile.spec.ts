import fc from 'fast-check';
import { percentile } from './percentile.js';

const LIMITS = [1, 2, 5, 10, Infinity];

it('a percentile is the smallest limit that the share of all times does not exceed', () => {
  const time = fc.double({ min: 0, max: 12, noNaN: true });
  fc.assert(
    fc.property(fc.array(time, { minLength: 1 }), fc.double({ min: 0.01, max: 1, noNaN: true }), (times, share) => {
      const limitOf = (ms: number): number => LIMITS.findIndex((limit) => ms <= limit);
      const counts = LIMITS.map((_, i) => times.filter((ms) => limitOf(ms) === i).length);
      const found = percentile(LIMITS, counts, share) ?? NaN;
      const atMost = (limit: number): number => times.filter((ms) => ms <= limit).length;
      expect(atMost(found)).toBeGreaterThanOrEqual(share * times.length);
      const lower = LIMITS[LIMITS.indexOf(found) - 1] ?? -1;
      expect(atMost(lower)).toBeLessThan(share * times.length);
    }),
  );
});

it('without times there is no percentile', () => {
  expect(percentile(LIMITS, [0, 0, 0, 0, 0], 0.5)).toBeUndefined();
});
