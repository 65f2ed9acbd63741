import { gate } from '../../../../test/support/servers.js';
import { Progress, TooLateError } from './progress.js';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

it('Progress keeps waiting as long as Redis answers other requests', async () => {
  const progress = new Progress();
  const slow = gate<string>();
  const waiting = progress.begin(900).wait(slow.passed);
  for (let i = 0; i < 20; i++) {
    await jest.advanceTimersByTimeAsync(800);
    await progress.begin(900).wait(Promise.resolve());
  }
  slow.open('at last');
  expect(await waiting).toBe('at last');
});

it('Progress gives up when Redis has answered no request for too long, and tries no more', async () => {
  const progress = new Progress();
  const never = gate();
  const waiting = progress.begin(900).wait(never.passed);
  const failed = expect(waiting).rejects.toThrow(TooLateError);
  await jest.advanceTimersByTimeAsync(901);
  await failed;
  expect(jest.getTimerCount()).toBe(0);
});

it('Progress applies one time limit to all commands of a request', async () => {
  const progress = new Progress();
  const deadline = progress.begin(900);
  await expect(deadline.wait(Promise.reject(new Error('lost')))).rejects.toThrow('lost');
  await jest.advanceTimersByTimeAsync(900);
  await expect(deadline.wait(gate().passed)).rejects.toThrow(TooLateError);
});
