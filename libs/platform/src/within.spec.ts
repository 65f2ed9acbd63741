import { getEventListeners } from 'node:events';
import { within } from './within.js';

const timeouts = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('within', () => {
  it('says that it came, and leaves no timer behind', async () => {
    const before = timeouts();
    expect(await within(60_000, Promise.resolve())).toBe(true);
    expect(timeouts()).toBe(before);
  });

  it('says that it did not, and an error that comes later is nobody’s', async () => {
    let fail!: (error: Error) => void;
    const late = new Promise((_, reject) => (fail = reject));
    expect(await within(1, late)).toBe(false);
    fail(new Error('later'));
  });

  it('rejects with what it waits for, and leaves no timer behind', async () => {
    const before = timeouts();
    await expect(within(60_000, Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect(timeouts()).toBe(before);
  });

  it('ends when it is aborted, and leaves no timer and no listener behind', async () => {
    const before = timeouts();
    const stop = new AbortController();
    const waiting = within(60_000, new Promise(() => undefined), stop.signal);
    stop.abort();
    expect(await waiting).toBe(false);
    const { signal } = new AbortController();
    expect(await within(60_000, Promise.resolve(), signal)).toBe(true);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    expect(timeouts()).toBe(before);
  });
});
