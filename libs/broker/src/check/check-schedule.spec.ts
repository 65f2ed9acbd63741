import { CHECK_TIMES, CheckSchedule, type CheckOutcome } from './check-schedule.js';

const MINUTE_MS = 60_000;

let schedule: CheckSchedule;
beforeEach(() => {
  schedule = new CheckSchedule();
});

function check(at: number, outcome: CheckOutcome): void {
  schedule.begun(at);
  schedule.ended(outcome, at);
}

describe('CheckSchedule', () => {
  it('is due at the start, and no more when all is known', () => {
    expect(schedule.isRenewalDue(0)).toBe(true);
    check(0, 'known');
    expect(schedule.dueAt).toBe(Infinity);
  });

  it('is due when a connection is lost, but not twice within ten seconds', () => {
    check(0, 'known');
    schedule.lost(60_000);
    expect(schedule.dueAt).toBe(60_000);
    check(60_000, 'known');
    schedule.lost(60_001);
    schedule.lost(60_002);
    expect(schedule.dueAt).toBe(60_000 + CHECK_TIMES.atLeastMs);
  });

  it('is outdated from a lost connection until a check has a result, whatever it found out', () => {
    check(0, 'unknown');
    expect(schedule.isRenewalDue(schedule.dueAt)).toBe(false);
    schedule.lost(60_000);
    check(60_000, 'failed');
    expect([schedule.isRenewalDue(60_000), schedule.isRenewalDue(schedule.dueAt)]).toEqual([false, true]);
    check(schedule.dueAt, 'known');
    expect(schedule.isRenewalDue(Infinity)).toBe(false);
  });

  it('is due again if a connection was lost during a check, which may have been one of the broker before', () => {
    schedule.begun(0);
    schedule.lost(100);
    schedule.ended('known', 200);
    expect(schedule.dueAt).toBe(CHECK_TIMES.atLeastMs);
  });

  it('is due some minutes after a check that did not find all out, and then less and less often', () => {
    const waits = Array.from({ length: 12 }, () => {
      check(0, 'unknown');
      return schedule.dueAt / MINUTE_MS;
    });
    expect(waits[0]).toBeGreaterThanOrEqual(2);
    expect(waits[0]).toBeLessThanOrEqual(4);
    expect(waits[2]).toBeGreaterThanOrEqual(8);
    for (const wait of waits.slice(4)) {
      expect(wait).toBeGreaterThanOrEqual(30);
      expect(wait).toBeLessThanOrEqual(60);
    }
  });

  it('is due within seconds after a check without a result, however many there were', () => {
    for (let i = 0; i < 40; i++) check(0, 'failed');
    expect(schedule.dueAt).toBeGreaterThan(0);
    expect(schedule.dueAt).toBeLessThanOrEqual(CHECK_TIMES.failed.capMs);
  });

  it('counts from the start again when a check finds all out', () => {
    for (let i = 0; i < 12; i++) check(0, 'unknown');
    check(0, 'known');
    check(0, 'unknown');
    expect(schedule.dueAt / MINUTE_MS).toBeLessThanOrEqual(4);
  });
});
