/** The pauses of devices that lost their broker: what is found in them. No real time: a slow machine changes the pauses of a device. */
import { DEVICES, backOffFault, jitterFault } from './pauses.mjs';

const ATTEMPTS = 120;

/** The times of a device's attempts, the first one when its connection broke. */
function timesOf(pauseMs: (attempt: number) => number): number[] {
  const times = [5000];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) times.push((times.at(-1) ?? 0) + pauseMs(attempt));
  return times;
}

function devices(pauseMs: (attempt: number) => number): number[][] {
  return Array.from({ length: DEVICES }, () => timesOf(pauseMs));
}

const limitMs = (attempt: number): number => Math.min(120_000, 2000 * 2 ** attempt);

it('devices with full jitter keep both rules', () => {
  for (let run = 0; run < 1000; run++) {
    const attempts = devices((attempt) => Math.random() * limitMs(attempt));
    // One in 100,000 is a fault by chance: not two in a row.
    const again = devices((attempt) => Math.random() * limitMs(attempt));
    expect(backOffFault(attempts) && backOffFault(again)).toBeUndefined();
    expect(jitterFault(attempts) && jitterFault(again)).toBeUndefined();
  }
});

it.each([
  ['at once', () => 100],
  ['at random, and never later', () => 500 + 200 * Math.random()],
])('devices that come back %s break the rule back-off', (_, pauseMs) => {
  expect(backOffFault(devices(pauseMs))).toContain('attempts in 10 s');
});

it.each([
  ['the same pauses', () => 2000],
  ['pauses that double', (attempt: number) => 1000 * 2 ** attempt],
  ['pauses that differ by the speed of their machine', () => 2000 + 100 * Math.random()],
])('devices with %s break the rule jitter', (_, pauseMs) => {
  expect(jitterFault(devices(pauseMs))).toContain('3 devices paused alike');
});

it('the report shows the pauses of each device', () => {
  expect(jitterFault(devices(() => 2000))).toBe(
    '3 devices paused alike: 2.00, 2.00, 2.00 | 2.00, 2.00, 2.00 | 2.00, 2.00, 2.00 s',
  );
});
