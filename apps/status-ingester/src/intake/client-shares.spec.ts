import fc from 'fast-check';
import { ClientShares, CUT_WINDOW_MS } from './client-shares.js';

describe("a client's share", () => {
  it('is the burst at once, and the rate from then on', () => {
    const shares = new ClientShares(10, 3);
    const at = (ms: number): boolean => shares.take('a', ms) === 'within';
    expect([at(0), at(0), at(0), at(0)]).toEqual([true, true, true, false]);
    expect([at(99), at(100), at(100)]).toEqual([false, true, false]);
    expect([at(10_000), at(10_000), at(10_000), at(10_000)]).toEqual([true, true, true, false]);
  });

  it('is its own', () => {
    const shares = new ClientShares(1, 1);
    expect(['a', 'b', 'a', 'b'].map((id) => shares.take(id, 0))).toEqual(['within', 'within', 'cut', 'cut']);
  });

  it('is told of once in a window when it is cut', () => {
    const shares = new ClientShares(1, 1);
    expect([0, 0, 0, 999].map((ms) => shares.take('a', ms))).toEqual(['within', 'cut', 'cut-again', 'cut-again']);
    expect([1000, 1001, CUT_WINDOW_MS - 1].map((ms) => shares.take('a', ms))).toEqual([
      'within',
      'cut-again',
      'within',
    ]);
    expect(shares.take('a', CUT_WINDOW_MS)).toBe('cut');
  });

  it('is never exceeded, and every cut lies within a window of one that was told', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.integer({ min: 0, max: 3000 }), { maxLength: 200 }),
        (rate, burst, gaps) => {
          const shares = new ClientShares(rate, burst);
          let now = 0;
          let within = 0;
          let toldAt = -Infinity;
          for (const gap of gaps) {
            now += gap;
            const verdict = shares.take('a', now);
            if (verdict === 'within') within++;
            if (verdict === 'cut') toldAt = now;
            if (verdict === 'cut-again') expect(now - toldAt).toBeLessThan(CUT_WINDOW_MS);
            expect(within).toBeLessThanOrEqual(burst + (now / 1000) * rate + 1e-6);
          }
        },
      ),
    );
  });
});
