import { LONGEST_PAUSE_MS, NO_RECONNECTS, isSweepDue, mayReconnect, oneMore, pauseAfter } from './lane-pauses.js';

const FIRST_MS = 5000;
/** How long it takes to find out that a marker is lost. */
const LOST_AFTER_MS = 35_000;

/** When lanes are connected again while each marker is lost, in the first `forMs` milliseconds. */
function reconnectsIn(forMs: number): number[] {
  const times: number[] = [];
  let reconnects = NO_RECONNECTS;
  for (let now = LOST_AFTER_MS; now <= forMs; now += LOST_AFTER_MS) {
    if (!mayReconnect(reconnects, now, FIRST_MS)) continue;
    reconnects = oneMore(reconnects, now);
    times.push(now);
  }
  return times;
}

describe('the pauses of the lane watch', () => {
  it('double with each failure, up to five minutes', () => {
    expect([0, 1, 2, 5].map((times) => pauseAfter(times, FIRST_MS))).toEqual([5000, 10_000, 20_000, 160_000]);
    expect(pauseAfter(6, FIRST_MS)).toBe(LONGEST_PAUSE_MS);
    expect(pauseAfter(5000, FIRST_MS)).toBe(LONGEST_PAUSE_MS);
  });

  it('let a sweep follow the third check of a quiet lane, and each sixth one after it', () => {
    expect(Array.from({ length: 17 }, (_, checks) => checks).filter(isSweepDue)).toEqual([3, 9, 15]);
  });

  it('let lanes be connected again at once when a marker is lost, and ever more rarely if none comes back', () => {
    const times = reconnectsIn(3_600_000);
    const gaps = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    expect(times[0]).toBe(LOST_AFTER_MS);
    expect(gaps).toEqual(gaps.toSorted((a, b) => a - b));
    expect(gaps.at(-1)).toBe(315_000);
    expect(times.length).toBeLessThan(17);
  });

  it('begin again when a marker has come back', () => {
    const reconnects = oneMore(oneMore(oneMore(NO_RECONNECTS, 0), 0), 0);
    expect(mayReconnect(reconnects, 39_999, FIRST_MS)).toBe(false);
    expect(mayReconnect(reconnects, 40_000, FIRST_MS)).toBe(true);
    expect(mayReconnect(NO_RECONNECTS, 1, FIRST_MS)).toBe(true);
  });
});
