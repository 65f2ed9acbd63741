import { BodyBudget } from './body-budget.js';
import { Problem } from './problem.js';

function problemOf(act: () => void): Problem {
  try {
    act();
  } catch (error) {
    if (error instanceof Problem) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

it('BodyBudget refuses bytes beyond the limit of a caller or of all callers, and accepts them when there is room again', () => {
  const budget = new BodyBudget({ total: 100, perCaller: 60 });
  const [a, b, c] = ['a', 'b', 'a'].map((caller) => budget.open(caller));
  a?.growTo(60);
  const ofCaller = problemOf(() => c?.growTo(1));
  expect([ofCaller.kind, ofCaller.more.retryAfterSeconds]).toEqual(['rate-limited', 1]);
  b?.growTo(40);
  const inAll = problemOf(() => b?.growTo(41));
  expect([inAll.kind, inAll.more.retryAfterSeconds]).toEqual(['unavailable', 1]);
  expect(budget.bytes).toBe(100);
  a?.release();
  a?.release();
  c?.growTo(60);
  b?.release();
  c?.release();
  expect(budget.bytes).toBe(0);
});
