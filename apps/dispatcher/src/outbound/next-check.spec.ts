import { NextCheck } from './next-check.js';
import { CHECK_MS } from './outbound-times.js';

const EARLY_MS = 200;

function ended(atMs: number, ms: number): NextCheck {
  const check = new NextCheck(EARLY_MS);
  expect(check.begins(atMs)).toBe(true);
  check.ended(atMs, ms);
  return check;
}

describe('the next look for shards without an owner', () => {
  it('is due once in the usual time, in which a round may come a little early', () => {
    const check = ended(1000, Infinity);
    expect(check.begins(1000 + CHECK_MS - EARLY_MS - 1)).toBe(false);
    expect(check.begins(1000 + CHECK_MS - EARLY_MS)).toBe(true);
  });

  it('is due when the lease of another dispatcher ends', () => {
    const check = ended(1000, 300);
    expect(check.begins(1299)).toBe(false);
    expect(check.begins(1300)).toBe(true);
  });

  it('is not later than usual because nothing is due for long', () => {
    expect(ended(1000, 60_000).begins(1000 + CHECK_MS)).toBe(true);
  });

  it('begins once at a time', () => {
    const check = new NextCheck(EARLY_MS);
    expect(check.begins(0)).toBe(true);
    expect(check.begins(5000)).toBe(false);
  });

  it('is due at once after a request, also after one that came during a look', () => {
    const check = new NextCheck(EARLY_MS);
    expect(check.begins(0)).toBe(true);
    check.request();
    check.ended(0, Infinity);
    expect(check.begins(1)).toBe(true);
  });
});
