import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Closes something that may wait for ever for a connection that is just coming back.
 * @returns whether it closed within so many milliseconds; if not, it is left behind @throws what `close` does in time
 */
export async function closeWithin(ms: number, close: () => Promise<unknown>): Promise<boolean> {
  const done = new AbortController();
  const late = sleep(ms, false, { signal: done.signal }).catch(() => false);
  try {
    return await Promise.race([close().then(() => true), late]);
  } finally {
    done.abort();
  }
}
