/** Times, both relative and exact: the relative one is shown, the exact one is in the tooltip and for screen readers. */
import { useSyncExternalStore, type ReactNode } from 'react';
import { clockTime, exactTime, relativeTime } from './time-text.js';

/** One timer for all times of the page. */
const listeners = new Set<() => void>();
let now = Date.now();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    now = Date.now();
    timer = setInterval(() => {
      now = Date.now();
      for (const each of listeners) each();
    }, 1000);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** The time to the second, which makes its component render each second. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now);
}

/** `both`: the exact time is shown too. */
export function Time({ at, both = false }: { at: string | null; both?: boolean }): ReactNode {
  const nowMs = useNow();
  if (at === null) return <span>–</span>;
  return (
    <time dateTime={at} title={exactTime(at)}>
      {both && `${clockTime(at)} · `}
      {relativeTime(at, nowMs)}
    </time>
  );
}
