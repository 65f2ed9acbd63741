/** A tail of events: the newest ones, bounded, and those that came while it was paused. */
import type { ConnectorEvent } from '@cloud-connector/client';

export interface Tail {
  /** Newest first. */
  shown: readonly ConnectorEvent[];
  /** Newest first; they came while the tail was paused. */
  behind: readonly ConnectorEvent[];
  /** Events that came while it was paused and are no longer kept. */
  dropped: number;
}

export const EMPTY_TAIL: Tail = { shown: [], behind: [], dropped: 0 };

/** Events that are kept, in each of the two lists. */
export const KEPT = 1000;

/** `arrived`: oldest first, as they came. */
export function withEvents(tail: Tail, arrived: readonly ConnectorEvent[], paused: boolean): Tail {
  const newest = arrived.toReversed();
  if (!paused) return { ...tail, shown: [...newest, ...tail.shown].slice(0, KEPT) };
  const behind = [...newest, ...tail.behind];
  return { ...tail, behind: behind.slice(0, KEPT), dropped: tail.dropped + Math.max(0, behind.length - KEPT) };
}

export function resumed({ shown, behind }: Tail): Tail {
  return { shown: [...behind, ...shown].slice(0, KEPT), behind: [], dropped: 0 };
}
