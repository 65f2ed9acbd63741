import { useCallback, useEffect, useEffectEvent, useRef } from 'react';

/** Runs an action soon after it was asked for, and at most once in the time. */
export function useThrottled(action: () => void, ms: number): () => void {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const last = useRef(0);
  const act = useEffectEvent(action);
  const run = useRef<() => void>(undefined);
  useEffect(() => {
    run.current = act;
    return () => clearTimeout(timer.current);
  }, []);
  return useCallback(() => {
    if (timer.current !== undefined) return;
    const wait = Math.max(0, last.current + ms - performance.now());
    timer.current = setTimeout(() => {
      timer.current = undefined;
      last.current = performance.now();
      run.current?.();
    }, wait);
  }, [ms]);
}
