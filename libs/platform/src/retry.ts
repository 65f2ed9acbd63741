import { pause } from './pause.js';

export interface RetryOptions {
  /** Milliseconds to wait after a failure. `failures`: the number of failures before it. */
  backoff: (failures: number) => number;
  /** Ends the retries, and the wait between two of them. */
  signal?: AbortSignal;
  /** The most attempts. Default: until one succeeds. */
  tries?: number;
  /** Called after each failure that is followed by a wait. */
  onRetry?: (error: unknown, waitMs: number) => void;
}

/**
 * Calls `act` until it resolves, with a wait between two calls.
 * @returns what `act` resolved with; undefined if `signal` was aborted before
 * @throws what the last of `tries` calls rejected with
 */
export async function retry<T>(act: () => Promise<T>, options: Omit<RetryOptions, 'signal'>): Promise<T>;
export async function retry<T>(act: () => Promise<T>, options: RetryOptions): Promise<T | undefined>;
export async function retry<T>(
  act: () => Promise<T>,
  { backoff, signal, tries = Infinity, onRetry }: RetryOptions,
): Promise<T | undefined> {
  for (let failures = 0; signal?.aborted !== true; failures++) {
    try {
      return await act();
    } catch (error) {
      if (failures + 1 >= tries) throw error;
      const waitMs = backoff(failures);
      onRetry?.(error, waitMs);
      await pause(waitMs, signal);
    }
  }
  return undefined;
}
