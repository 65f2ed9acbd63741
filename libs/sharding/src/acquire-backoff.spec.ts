import { AcquireBackoff } from './acquire-backoff.js';

let now = 1000;
let backoff: AcquireBackoff;

beforeEach(() => {
  now = 1000;
  backoff = new AcquireBackoff(() => now);
});

describe('AcquireBackoff', () => {
  it('allows the first attempt at once', () => {
    expect(backoff.dueIn('shard 1')).toBeLessThanOrEqual(0);
  });

  it('delays a lease that another process holds until it may have expired, or the holders have changed', () => {
    backoff.leasedFor('shard 1', 500);
    expect(backoff.dueIn('shard 1')).toBe(500);
    expect(backoff.dueIn('shard 2')).toBeLessThanOrEqual(0);
    backoff.holdersChanged();
    expect(backoff.dueIn('shard 1')).toBeLessThanOrEqual(0);
  });

  it('delays a lease whose acquisition failed, even if the holders have changed', () => {
    const waits = [1, 2, 3].map(() => backoff.failed('lane 0'));
    expect(waits[2]).toBeGreaterThanOrEqual(100);
    backoff.holdersChanged();
    expect(backoff.dueIn('lane 0')).toBe(waits[2]);
    now += 5000;
    expect(backoff.dueIn('lane 0')).toBeLessThanOrEqual(0);
  });

  it('starts with short waits again only after the lease was held for a while', () => {
    for (let i = 0; i < 8; i++) backoff.failed('lane 0');
    backoff.succeeded('lane 0');
    now += 100;
    expect(backoff.failed('lane 0')).toBeGreaterThanOrEqual(500);
    backoff.succeeded('lane 0');
    now += 60_000;
    expect(backoff.failed('lane 0')).toBeLessThanOrEqual(50);
  });
});
