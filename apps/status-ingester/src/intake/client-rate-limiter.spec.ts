import fc from 'fast-check';
import { THROTTLE_WINDOW_MS } from '@app/registry';
import { ClientRateLimiter, type ClientLimits } from './client-rate-limiter.js';

function limiterOf(limits: Partial<ClientLimits>): ClientRateLimiter {
  return new ClientRateLimiter({ rate: 1, burst: 1, bytesRate: 1_000_000, largest: 1000, ...limits });
}

describe('ClientRateLimiter', () => {
  it('allows a client its burst at once, and its rate from then on', () => {
    const limiter = limiterOf({ rate: 10, burst: 3 });
    const at = (ms: number): boolean => limiter.take('a', 1, ms) === 'allowed';
    expect([at(0), at(0), at(0), at(0)]).toEqual([true, true, true, false]);
    expect([at(99), at(100), at(100)]).toEqual([false, true, false]);
    expect([at(10_000), at(10_000), at(10_000), at(10_000)]).toEqual([true, true, true, false]);
  });

  it('counts each client separately', () => {
    const limiter = limiterOf({});
    expect(['a', 'b', 'a', 'b'].map((id) => limiter.take(id, 1, 0))).toEqual([
      'allowed',
      'allowed',
      'throttled',
      'throttled',
    ]);
  });

  it('gives one notice a window for a throttled client', () => {
    const limiter = limiterOf({});
    expect([0, 0, 0, 999].map((ms) => limiter.take('a', 1, ms))).toEqual([
      'allowed',
      'throttled',
      'throttled-again',
      'throttled-again',
    ]);
    expect([1000, 1001, THROTTLE_WINDOW_MS - 1].map((ms) => limiter.take('a', 1, ms))).toEqual([
      'allowed',
      'throttled-again',
      'allowed',
    ]);
    expect(limiter.take('a', 1, THROTTLE_WINDOW_MS)).toBe('throttled');
  });

  it('allows a client four seconds of its bytes at once, and their rate from then on, however few messages they are', () => {
    const limiter = limiterOf({ rate: 1000, burst: 1000, bytesRate: 500 });
    const take = (ms: number, size: number): string => limiter.take('a', size, ms);
    expect([take(0, 1000), take(0, 1000), take(0, 1)]).toEqual(['allowed', 'allowed', 'throttled']);
    expect([take(1000, 501), take(1000, 500), take(1000, 1)]).toEqual([
      'throttled-again',
      'allowed',
      'throttled-again',
    ]);
    expect(take(1000, 0)).toBe('allowed');
  });

  it('allows the largest message even if it is more than four seconds of bytes', () => {
    const limiter = limiterOf({ burst: 10, bytesRate: 1, largest: 1000 });
    expect(limiter.bytesBurst).toBe(1000);
    expect([limiter.take('a', 1000, 0), limiter.take('a', 1, 0)]).toEqual(['allowed', 'throttled']);
  });

  it('charges a message above the largest size as one of the largest size', () => {
    const limiter = limiterOf({ burst: 10, bytesRate: 1, largest: 1000 });
    expect(limiter.take('a', 1_000_000, 0)).toBe('allowed');
  });

  it('never allows more than the limits, and throttles without a notice only in the window of an earlier notice', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 2000 })), { maxLength: 200 }),
        (rate, burst, messages) => {
          const limiter = limiterOf({ rate, burst, bytesRate: 20 * rate });
          let now = 0;
          let allowed = 0;
          let bytes = 0;
          let noticedAt = -Infinity;
          for (const [gap, size] of messages) {
            now += gap;
            const verdict = limiter.take('a', size, now);
            if (verdict === 'allowed') {
              allowed++;
              bytes += Math.min(size, 1000);
            }
            if (verdict === 'throttled') noticedAt = now;
            if (verdict === 'throttled-again') expect(now - noticedAt).toBeLessThan(THROTTLE_WINDOW_MS);
            expect(allowed).toBeLessThanOrEqual(burst + (now / 1000) * rate + 1e-6);
            expect(bytes).toBeLessThanOrEqual(limiter.bytesBurst + (now / 1000) * 20 * rate + 1e-6);
          }
        },
      ),
    );
  });
});
