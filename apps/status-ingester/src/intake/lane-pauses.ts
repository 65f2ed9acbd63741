/** How long the lane watch pauses when its markers do not come back. Pure. */

/** A pause doubles up to this. */
export const LONGEST_PAUSE_MS = 300_000;

export function pauseAfter(times: number, firstMs: number): number {
  return Math.min(firstMs * 2 ** times, LONGEST_PAUSE_MS);
}

/**
 * Whether a sweep follows a check of a quiet lane for which nothing had waited: the lane may be idle, or its session may deliver
 * nothing however often it is resumed. At the third check in a row, some minutes
 * after the lane became quiet, and at each sixth one after it, every half an hour at most.
 */
export function isSweepDue(checks: number): boolean {
  return checks % 6 === 3;
}

/** Reconnects since a marker came back. If the broker drops the markers, reconnects do not help, and must become rare. */
export interface FailedReconnects {
  count: number;
  lastAt: number;
}

export const NO_RECONNECTS: FailedReconnects = { count: 0, lastAt: 0 };

export function oneMore({ count }: FailedReconnects, now: number): FailedReconnects {
  return { count: count + 1, lastAt: now };
}

export function mayReconnect({ count, lastAt }: FailedReconnects, now: number, firstMs: number): boolean {
  return count === 0 || now - lastAt >= pauseAfter(count, firstMs);
}
