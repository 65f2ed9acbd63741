import { getEventListeners } from 'node:events';
import { retry } from './retry.js';

const AT_ONCE = (): number => 0;

/** Rejects so many times, and then resolves with how often it was called. */
function failing(times: number): () => Promise<number> {
  let calls = 0;
  return () => (++calls <= times ? Promise.reject(new Error(`failure ${calls}`)) : Promise.resolve(calls));
}

describe('retry', () => {
  it('retry resolves with what the first call that succeeds resolves with', async () => {
    expect(await retry(failing(0), { backoff: AT_ONCE })).toBe(1);
    expect(await retry(failing(3), { backoff: AT_ONCE })).toBe(4);
  });

  it('retry asks the back-off with the number of failures before, and reports each failure with its wait', async () => {
    const reported: [unknown, number][] = [];
    await retry(failing(3), {
      backoff: (failures) => 2 * failures,
      onRetry: (error, waitMs) => reported.push([error, waitMs]),
    });
    expect(reported).toEqual([
      [new Error('failure 1'), 0],
      [new Error('failure 2'), 2],
      [new Error('failure 3'), 4],
    ]);
  });

  it('retry rejects with the failure of the last call if the number of tries is limited', async () => {
    const reported: unknown[] = [];
    const onRetry = (error: unknown): void => void reported.push(error);
    const outcome = retry(failing(3), { backoff: AT_ONCE, tries: 3, onRetry });
    await expect(outcome).rejects.toThrow('failure 3');
    expect(reported).toEqual([new Error('failure 1'), new Error('failure 2')]);
    expect(await retry(failing(2), { backoff: AT_ONCE, tries: 3 })).toBe(3);
  });

  it('retry ends its wait when it is aborted, resolves with nothing, and leaves no listener behind', async () => {
    const stop = new AbortController();
    let calls = 0;
    const act = (): Promise<number> => Promise.reject(new Error(`failure ${++calls}`));
    const outcome = retry(act, {
      backoff: () => 3_600_000,
      signal: stop.signal,
      onRetry: () => setImmediate(() => stop.abort()),
    });
    expect(await outcome).toBeUndefined();
    expect(calls).toBe(1);
    expect(getEventListeners(stop.signal, 'abort')).toEqual([]);
  });

  it('retry calls nothing if it was aborted before it began', async () => {
    let calls = 0;
    const outcome = retry(() => Promise.resolve(++calls), { backoff: AT_ONCE, signal: AbortSignal.abort() });
    expect(await outcome).toBeUndefined();
    expect(calls).toBe(0);
  });

  it('retry treats an error thrown before the first wait of the call as a failure', async () => {
    let calls = 0;
    const act = (): Promise<number> => {
      if (++calls === 1) throw new Error('thrown');
      return Promise.resolve(calls);
    };
    expect(await retry(act, { backoff: AT_ONCE })).toBe(2);
  });
});
