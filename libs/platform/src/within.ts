import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits for something that may never come, such as an end that needs a connection: for so many milliseconds, and not once
 * it is aborted. Leaves no timer and no listener behind.
 * @returns whether it came; if not, it is left behind @throws what it rejects with in time
 */
export async function within(ms: number, promise: Promise<unknown>, signal?: AbortSignal): Promise<boolean> {
  const over = new AbortController();
  const abort = (): void => over.abort();
  signal?.addEventListener('abort', abort, { once: true });
  const late = sleep(ms, false, { signal: over.signal }).catch(() => false);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    signal?.removeEventListener('abort', abort);
    abort();
  }
}

/**
 * Closes something that may never finish by itself. If `close` has not finished after so many milliseconds, `force` is
 * called, and `close` is left behind.
 * @returns whether it closed in time @throws what `close` rejects with in time, or what `force` rejects with
 */
export async function closeWithin(ms: number, close: () => unknown, force?: () => unknown): Promise<boolean> {
  if (await within(ms, Promise.resolve(close()))) return true;
  await force?.();
  return false;
}
