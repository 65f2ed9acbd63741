import fc from 'fast-check';
import { Backoff, backoffMs } from './backoff.js';

const LEAST = (): number => 0;
const MOST = (): number => 1;

describe('backoffMs', () => {
  it('doubles its ceiling from the base to the cap', () => {
    const waits = [0, 1, 2, 3, 4, 5, 6].map((attempt) => backoffMs(attempt, 100, 2000, MOST));
    expect(waits).toEqual([100, 200, 400, 800, 1600, 2000, 2000]);
  });

  it('waits at least half of the ceiling', () => {
    const waits = [0, 1, 2, 3, 4, 5, 6].map((attempt) => backoffMs(attempt, 100, 2000, LEAST));
    expect(waits).toEqual([50, 100, 200, 400, 800, 1000, 1000]);
  });

  it('spreads the waits evenly between half of the ceiling and the ceiling', () => {
    expect([0, 0.25, 0.5, 0.75].map((dice) => backoffMs(3, 100, 2000, () => dice))).toEqual([400, 500, 600, 700]);
  });

  it('returns a whole number from half of the ceiling to the ceiling, after any number of attempts', () => {
    const dice = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    const attempts = fc.nat({ max: 1_000_000 });
    fc.assert(
      fc.property(
        attempts,
        fc.integer({ min: 1, max: 10_000 }),
        fc.integer({ min: 1, max: 100_000 }),
        dice,
        (n, base, cap, d) => {
          const wait = backoffMs(n, base, cap, () => d);
          const ceiling = Math.min(cap, base * 2 ** Math.min(n, 30));
          expect(Number.isInteger(wait)).toBe(true);
          expect(wait).toBeGreaterThanOrEqual(Math.floor(ceiling / 2));
          expect(wait).toBeLessThanOrEqual(ceiling);
        },
      ),
    );
  });

  it('uses its own random numbers unless others are passed', () => {
    const waits = Array.from({ length: 50 }, () => backoffMs(20, 1, 1_000_000));
    expect(new Set(waits).size).toBeGreaterThan(1);
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(500_000);
    expect(Math.max(...waits)).toBeLessThanOrEqual(1_000_000);
  });
});

describe('Backoff', () => {
  let clock = 0;
  let backoff: Backoff;

  beforeEach(() => {
    clock = 0;
    backoff = new Backoff(100, 1600, 10_000, () => clock);
    jest.spyOn(Math, 'random').mockReturnValue(1);
  });

  afterEach(() => {
    jest.restoreAllMocks();
  });

  function waits(failures: number): number[] {
    return Array.from({ length: failures }, () => backoff.failed());
  }

  it('waits longer with each failure in a row, up to the cap', () => {
    expect(waits(7)).toEqual([100, 200, 400, 800, 1600, 1600, 1600]);
  });

  it('starts from the first delay again after a healthy uptime', () => {
    waits(4);
    backoff.succeeded();
    clock += 10_000;
    expect(waits(2)).toEqual([100, 200]);
  });

  it('keeps backing off if a success did not last', () => {
    waits(3);
    backoff.succeeded();
    clock += 9_999;
    expect(waits(2)).toEqual([800, 1600]);
  });

  it('does not add up short uptimes', () => {
    waits(2);
    for (const expected of [400, 800, 1600, 1600]) {
      backoff.succeeded();
      clock += 6_000;
      expect(backoff.failed()).toBe(expected);
    }
  });

  it('counts an uptime from its first success, not from the last', () => {
    waits(3);
    backoff.succeeded();
    clock += 6_000;
    backoff.succeeded();
    clock += 6_000;
    expect(waits(1)).toEqual([100]);
  });

  it('does not count time without a success as uptime', () => {
    waits(3);
    clock += 1_000_000;
    expect(waits(1)).toEqual([800]);
  });
});
