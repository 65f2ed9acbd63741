import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits for a promise that may never settle, such as the end of a connection: for `ms` milliseconds, or until `signal` is
 * aborted. It leaves no timer and no listener behind.
 * @returns whether the promise has resolved @throws what the promise rejects with in time
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
 * Calls `close`, which may never finish. If it has not finished after `ms` milliseconds, calls `force` instead of waiting on.
 * @returns whether `close` has finished in time @throws what `close` rejects with in time, or what `force` rejects with
 */
export async function closeWithin(ms: number, close: () => unknown, force?: () => unknown): Promise<boolean> {
  if (await within(ms, Promise.resolve(close()))) return true;
  await force?.();
  return false;
}
