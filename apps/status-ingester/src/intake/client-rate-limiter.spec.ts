import fc from 'fast-check';
import { THROTTLE_WINDOW_MS } from '@app/registry';
import { ClientShares, type ShareLimits } from './client-rate-limiter.js';

function shareOf(limits: Partial<ShareLimits>): ClientShares {
  return new ClientShares({ rate: 1, burst: 1, bytesRate: 1_000_000, largest: 1000, ...limits });
}

describe("a client's share", () => {
  it('is the burst at once, and the rate from then on', () => {
    const shares = shareOf({ rate: 10, burst: 3 });
    const at = (ms: number): boolean => shares.take('a', 1, ms) === 'within';
    expect([at(0), at(0), at(0), at(0)]).toEqual([true, true, true, false]);
    expect([at(99), at(100), at(100)]).toEqual([false, true, false]);
    expect([at(10_000), at(10_000), at(10_000), at(10_000)]).toEqual([true, true, true, false]);
  });

  it('is its own', () => {
    const shares = shareOf({});
    expect(['a', 'b', 'a', 'b'].map((id) => shares.take(id, 1, 0))).toEqual(['within', 'within', 'cut', 'cut']);
  });

  it('is told of once in a window when it is cut', () => {
    const shares = shareOf({});
    expect([0, 0, 0, 999].map((ms) => shares.take('a', 1, ms))).toEqual(['within', 'cut', 'cut-again', 'cut-again']);
    expect([1000, 1001, THROTTLE_WINDOW_MS - 1].map((ms) => shares.take('a', 1, ms))).toEqual([
      'within',
      'cut-again',
      'within',
    ]);
    expect(shares.take('a', 1, THROTTLE_WINDOW_MS)).toBe('cut');
  });

  it('is four seconds of its bytes at once, and their rate from then on, however few messages they are', () => {
    const shares = shareOf({ rate: 1000, burst: 1000, bytesRate: 500 });
    const take = (ms: number, size: number): string => shares.take('a', size, ms);
    expect([take(0, 1000), take(0, 1000), take(0, 1)]).toEqual(['within', 'within', 'cut']);
    expect([take(1000, 501), take(1000, 500), take(1000, 1)]).toEqual(['cut-again', 'within', 'cut-again']);
    expect(take(1000, 0)).toBe('within');
  });

  it('has room for the largest message, also if that is more than four seconds of its bytes', () => {
    const shares = shareOf({ burst: 10, bytesRate: 1, largest: 1000 });
    expect(shares.bytesBurst).toBe(1000);
    expect([shares.take('a', 1000, 0), shares.take('a', 1, 0)]).toEqual(['within', 'cut']);
  });

  it('is charged the size of the largest message for a larger one, of which a sample is kept', () => {
    const shares = shareOf({ burst: 10, bytesRate: 1, largest: 1000 });
    expect(shares.take('a', 1_000_000, 0)).toBe('within');
  });

  it('is never exceeded, and every cut lies within a window of one that was told', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 2000 })), { maxLength: 200 }),
        (rate, burst, messages) => {
          const shares = shareOf({ rate, burst, bytesRate: 20 * rate });
          let now = 0;
          let within = 0;
          let bytes = 0;
          let toldAt = -Infinity;
          for (const [gap, size] of messages) {
            now += gap;
            const verdict = shares.take('a', size, now);
            if (verdict === 'within') {
              within++;
              bytes += Math.min(size, 1000);
            }
            if (verdict === 'cut') toldAt = now;
            if (verdict === 'cut-again') expect(now - toldAt).toBeLessThan(THROTTLE_WINDOW_MS);
            expect(within).toBeLessThanOrEqual(burst + (now / 1000) * rate + 1e-6);
            expect(bytes).toBeLessThanOrEqual(shares.bytesBurst + (now / 1000) * 20 * rate + 1e-6);
          }
        },
      ),
    );
  });
});
