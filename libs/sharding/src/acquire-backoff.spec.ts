import { AcquireBackoff } from './acquire-backoff.js';

let now = 1000;
let attempts: AcquireBackoff;

beforeEach(() => {
  now = 1000;
  attempts = new AcquireBackoff(() => now);
});

describe('a shard or lane', () => {
  it('may be asked for at once where nothing is known of it', () => {
    expect(attempts.dueIn('shard 1')).toBeLessThanOrEqual(0);
  });

  it('that another holds is asked for when the lease may have run out, or when something was given back', () => {
    attempts.heldFor('shard 1', 500);
    expect(attempts.dueIn('shard 1')).toBe(500);
    expect(attempts.dueIn('shard 2')).toBeLessThanOrEqual(0);
    attempts.holdersChanged();
    expect(attempts.dueIn('shard 1')).toBeLessThanOrEqual(0);
  });

  it('that could not be taken waits, whatever others give back', () => {
    const waits = [1, 2, 3].map(() => attempts.failed('lane 0'));
    expect(waits[2]).toBeGreaterThanOrEqual(100);
    attempts.holdersChanged();
    expect(attempts.dueIn('lane 0')).toBe(waits[2]);
    now += 5000;
    expect(attempts.dueIn('lane 0')).toBeLessThanOrEqual(0);
  });

  it('begins with short waits again only after it was held for a while', () => {
    for (let i = 0; i < 8; i++) attempts.failed('lane 0');
    attempts.succeeded('lane 0');
    now += 100;
    expect(attempts.failed('lane 0')).toBeGreaterThanOrEqual(500);
    attempts.succeeded('lane 0');
    now += 60_000;
    expect(attempts.failed('lane 0')).toBeLessThanOrEqual(50);
  });
});
