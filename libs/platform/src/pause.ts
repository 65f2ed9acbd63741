import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until the time has passed or `signal` is aborted. @returns whether the whole time has passed */
export async function pause(ms: number, signal?: AbortSignal): Promise<boolean> {
  return sleep(ms, true, signal && { signal }).catch(() => false);
}
