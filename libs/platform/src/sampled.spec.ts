import { Sampled } from './sampled.js';

it('Sampled logs one line in each interval, with the number of lines that were skipped before it', () => {
  let now = 0;
  const lines: number[] = [];
  const sampled = new Sampled(1000, () => now);
  for (const at of [0, 1, 999, 1000, 1001, 5000]) {
    now = at;
    sampled.take((skipped) => lines.push(skipped));
  }
  expect(lines).toEqual([0, 2, 1]);
});
