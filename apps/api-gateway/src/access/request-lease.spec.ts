import type { LeasedRequests } from '@app/registry';
import { RequestLease } from './request-lease.js';

const WINDOW_MS = 1000;
const LIMIT = { requests: 100, windowMs: WINDOW_MS };

function reply(of: Partial<LeasedRequests>): LeasedRequests {
  return { leased: 0, ahead: 0, left: 50, leftMs: WINDOW_MS, ...of };
}

/** A lease that was asked for at 0, for one request that waited. */
function leased(of: Partial<LeasedRequests>): RequestLease {
  const lease = new RequestLease(LIMIT);
  expect(lease.take(1, 0)).toBe('ask');
  const wanted = lease.wants(1, 0);
  expect(wanted).toMatchObject({ waiting: 1 });
  if (wanted !== undefined) lease.renew(reply(of), wanted, 0, 0);
  return lease;
}

describe('RequestLease', () => {
  it('admits what is leased, and asks for more', () => {
    const lease = leased({ leased: 3 });
    expect([1, 2, 3, 4].map((at) => lease.take(1, at))).toEqual(['admitted', 'admitted', 'admitted', 'ask']);
  });

  it('asks for more before all is admitted', () => {
    const lease = leased({ leased: 9 });
    expect(lease.wants(0, 1)).toBeUndefined();
    lease.take(6, 1);
    expect(lease.wants(0, 1)).toMatchObject({ waiting: 0, spare: 16, ahead: 0 });
  });

  it('asks for more at a time while leases last short, and for less while they last long', () => {
    const lease = leased({ leased: 9 });
    const spare = (at: number): number | undefined => {
      const wanted = lease.wants(100, at);
      if (wanted !== undefined) lease.renew(reply({ leased: wanted.waiting + wanted.spare }), wanted, at, at);
      return wanted?.spare;
    };
    expect([50, 100, 150, 600, 1100].map(spare)).toEqual([16, 25, 25, 13, 8]);
  });

  it('asks for no more at a time if Redis leased less than was asked for', () => {
    const lease = leased({ leased: 2 });
    expect(lease.wants(1, 1)).toMatchObject({ spare: 8 });
  });

  it('refuses from memory until the window ends if nobody may lease any more of it', () => {
    const lease = leased({ leased: 1, left: 0, leftMs: 400 });
    lease.take(1, 0);
    expect(lease.take(1, 399)).toBe('refused');
    expect(lease.leftMs(399)).toBe(1);
    expect(lease.take(1, 400)).toBe('ask');
  });

  it('goes on with what it has leased of the next window, and only of that', () => {
    const lease = leased({ leased: 9 });
    const wanted = lease.wants(0, 800);
    expect(wanted).toEqual({ waiting: 0, spare: 0, ahead: 8 });
    if (wanted !== undefined) lease.renew(reply({ ahead: 2, leftMs: 200 }), wanted, 800, 800);
    // It was asked for once.
    expect(lease.wants(0, 999)).toBeUndefined();
    expect([1000, 1001, 1002].map((at) => lease.take(1, at))).toEqual(['admitted', 'admitted', 'ask']);
    expect(lease.leftMs(1002)).toBe(998);
  });

  it('lets lapse what it has not used when the window has ended', () => {
    expect(leased({ leased: 9 }).take(1, WINDOW_MS)).toBe('ask');
    const unused = leased({ leased: 9 });
    const wanted = unused.wants(0, 900);
    if (wanted !== undefined) unused.renew(reply({ ahead: 8, leftMs: 100 }), wanted, 900, 900);
    expect(unused.take(1, 2 * WINDOW_MS)).toBe('ask');
  });

  it('admits those that waited for a reply that came after the end of its window', () => {
    const lease = new RequestLease(LIMIT);
    const wanted = lease.wants(2, 0);
    if (wanted !== undefined) lease.renew(reply({ leased: 10, leftMs: 5 }), wanted, 0, 50);
    expect([lease.take(1, 50), lease.take(1, 50), lease.take(1, 51)]).toEqual(['admitted', 'admitted', 'ask']);
  });

  it('adds to the next window only what somebody waited for of a reply of the window before', () => {
    const lease = leased({ leased: 1 });
    const ending = lease.wants(0, 990);
    if (ending !== undefined) lease.renew(reply({ ahead: 4, leftMs: 10 }), ending, 990, 990);
    const wanted = lease.wants(2, 995);
    expect(wanted).toMatchObject({ waiting: 1, spare: 8 });
    expect(lease.take(4, 1000)).toBe('admitted');
    if (wanted !== undefined) lease.renew(reply({ leased: 9, leftMs: 5 }), wanted, 995, 1001);
    expect([lease.take(1, 1001), lease.take(1, 1001)]).toEqual(['admitted', 'ask']);
  });

  it('admits what it has not admitted yet of the whole limit, while Redis is away', () => {
    const lease = leased({ leased: 10 });
    lease.take(10, 1);
    lease.countAlone(2);
    expect([lease.take(90, 2), lease.take(1, 999)]).toEqual(['admitted', 'refused']);
    expect(lease.take(1, 1000)).toBe('ask');
    lease.countAlone(1000);
    expect([lease.take(100, 1000), lease.take(1, 1001)]).toEqual(['admitted', 'refused']);
  });
});
