import fc from 'fast-check';
import { LeaseTiming } from './lease-timing.js';

describe('LeaseTiming', () => {
  it('gives a holder time to renew, and lets it stop before the lease can expire', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 120_000 }),
        fc.integer({ min: 1, max: 10_000 }),
        fc.double({ min: 0, max: 1e9, noNaN: true }),
        (leaseMs, answerMs, sentAt) => {
          fc.pre(leaseMs > 2 * answerMs + 4);
          const timing = new LeaseTiming(leaseMs, answerMs);
          // The slowest allowed reply to a renewal that was sent in time still counts.
          expect(timing.renewAt(sentAt) + answerMs).toBeLessThan(timing.actUntil(sentAt));
          expect(timing.actUntil(sentAt)).toBeLessThan(sentAt + leaseMs);
          expect(timing.mayAct(sentAt, sentAt)).toBe(true);
          expect(timing.mayAct(sentAt, timing.actUntil(sentAt))).toBe(false);
        },
      ),
    );
  });

  it.each([
    [1400, 700],
    [700, 700],
    [1, 1],
    [0, 1],
    [-6000, 700],
    [6000, 0],
    [NaN, 700],
    [6000, NaN],
  ])('refuses a lease of %d ms with replies of %d ms', (leaseMs, answerMs) => {
    expect(() => new LeaseTiming(leaseMs, answerMs)).toThrow(RangeError);
  });

  it('accepts the shortest lease that the settings allow', () => {
    const { renewEveryMs, actForMs } = new LeaseTiming(2000, 700);
    expect({ renewEveryMs, actForMs }).toEqual({ renewEveryMs: 500, actForMs: 1500 });
  });
});
