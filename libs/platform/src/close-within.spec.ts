import { closeWithin } from './close-within.js';

const timeouts = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('closeWithin', () => {
  it('says that it closed, and leaves no timer behind', async () => {
    const before = timeouts();
    expect(await closeWithin(60_000, () => Promise.resolve())).toBe(true);
    expect(timeouts()).toBe(before);
  });

  it('says that it did not, and an error that comes later is nobody’s', async () => {
    let fail!: (error: Error) => void;
    const closing = closeWithin(1, () => new Promise((_, reject) => (fail = reject)));
    expect(await closing).toBe(false);
    fail(new Error('later'));
  });

  it('rejects with what close rejects with, and leaves no timer behind', async () => {
    const before = timeouts();
    await expect(closeWithin(60_000, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(timeouts()).toBe(before);
  });
});
