import { getEventListeners } from 'node:events';
import { closeWithin, within } from './within.js';

const timeouts = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

describe('within', () => {
  it('returns true if the promise resolves in time, and leaves no timer behind', async () => {
    const before = timeouts();
    expect(await within(60_000, Promise.resolve())).toBe(true);
    expect(timeouts()).toBe(before);
  });

  it('returns false if the promise is late, and its later error is not unhandled', async () => {
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

describe('closeWithin', () => {
  const never = (): Promise<never> => new Promise(() => undefined);
  let forced: number;
  const force = (): void => {
    forced++;
  };

  beforeEach(() => (forced = 0));

  it('closeWithin forces nothing if the close finishes in time, and leaves no timer behind', async () => {
    const before = timeouts();
    expect(await closeWithin(60_000, () => Promise.resolve(), force)).toBe(true);
    expect(await closeWithin(60_000, () => undefined, force)).toBe(true);
    expect(forced).toBe(0);
    expect(timeouts()).toBe(before);
  });

  it('closeWithin forces the end once if the close takes longer than it may, and waits for that', async () => {
    let ended = false;
    const forceSlowly = async (): Promise<void> => {
      force();
      await new Promise((resolve) => setImmediate(resolve));
      ended = true;
    };
    expect(await closeWithin(1, never, forceSlowly)).toBe(false);
    expect(forced).toBe(1);
    expect(ended).toBe(true);
  });

  it('closeWithin gives up a close that nothing can force', async () => {
    expect(await closeWithin(1, never)).toBe(false);
  });

  it('closeWithin rejects with the error of the close, and forces nothing', async () => {
    const broken = (): never => {
      throw new Error('thrown');
    };
    await expect(closeWithin(60_000, () => Promise.reject(new Error('broken')), force)).rejects.toThrow('broken');
    await expect(closeWithin(60_000, broken, force)).rejects.toThrow('thrown');
    expect(forced).toBe(0);
  });

  it('closeWithin ignores an error of a close that was forced', async () => {
    let fail!: (error: Error) => void;
    const late = new Promise<void>((_, reject) => (fail = reject));
    expect(await closeWithin(1, () => late, force)).toBe(false);
    fail(new Error('later'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(forced).toBe(1);
  });
});
