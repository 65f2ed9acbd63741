import { gate } from '../../../../test/support/servers.js';
import { Progress, TooLateError } from './progress.js';

beforeEach(() => jest.useFakeTimers());
afterEach(() => jest.useRealTimers());

it('goes on waiting for as long as somebody is answered', async () => {
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

it('gives up when nobody has been answered for so long, and asks no more', async () => {
  const progress = new Progress();
  const never = gate();
  const waiting = progress.begin(900).wait(never.passed);
  const failed = expect(waiting).rejects.toThrow(TooLateError);
  await jest.advanceTimersByTimeAsync(901);
  await failed;
  expect(jest.getTimerCount()).toBe(0);
});

it('has one patience for all that it waits for', async () => {
  const progress = new Progress();
  const patience = progress.begin(900);
  await expect(patience.wait(Promise.reject(new Error('lost')))).rejects.toThrow('lost');
  await jest.advanceTimersByTimeAsync(900);
  await expect(patience.wait(gate().passed)).rejects.toThrow(TooLateError);
});
