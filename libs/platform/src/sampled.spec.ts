import { Sampled } from './sampled.js';

it('lets one line through in each interval, and says how many were left out before it', () => {
  let now = 0;
  const lines: number[] = [];
  const sampled = new Sampled(1000, () => now);
  for (const at of [0, 1, 999, 1000, 1001, 5000]) {
    now = at;
    sampled.take((skipped) => lines.push(skipped));
  }
  expect(lines).toEqual([0, 2, 1]);
});
