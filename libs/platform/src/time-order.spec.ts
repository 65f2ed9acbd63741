import { assertTimeOrder } from './time-order.js';

const ORDERS = [
  { time: 'CLAIM_MS', atMost: 'LOCK_MS', because: 'the lock ends' },
  { time: 'LOCK_MS', atMost: 'RETRY_MS', because: 'a retry needs the lock' },
] as const;

describe('assertTimeOrder', () => {
  it('assertTimeOrder accepts times that are in order, and equal ones', () => {
    expect(() => assertTimeOrder({ CLAIM_MS: 1, LOCK_MS: 2, RETRY_MS: 3 }, ORDERS)).not.toThrow();
    expect(() => assertTimeOrder({ CLAIM_MS: 2, LOCK_MS: 2, RETRY_MS: 2 }, ORDERS)).not.toThrow();
  });

  it.each([
    [
      { CLAIM_MS: 3, LOCK_MS: 2, RETRY_MS: 9 },
      'CLAIM_MS (3 ms) must not be longer than LOCK_MS (2 ms), because the lock ends',
    ],
    [
      { CLAIM_MS: 1, LOCK_MS: 2, RETRY_MS: 1 },
      'LOCK_MS (2 ms) must not be longer than RETRY_MS (1 ms), because a retry needs the lock',
    ],
    [
      { CLAIM_MS: NaN, LOCK_MS: 2, RETRY_MS: 3 },
      'CLAIM_MS (NaN ms) must not be longer than LOCK_MS (2 ms), because the lock ends',
    ],
  ])('assertTimeOrder refuses %j, and names both times', (times, message) => {
    expect(() => assertTimeOrder(times, ORDERS)).toThrow(new RangeError(message));
  });
});
