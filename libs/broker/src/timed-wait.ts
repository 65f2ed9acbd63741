export type WaitResult = 'resolved' | 'late' | 'aborted';

/** Waits for a promise until a time by `performance.now()` or until the signal is aborted. Leaves no timer or listener behind. */
export async function waitUntil(
  deadline: number,
  promise: Promise<void>,
  signal: AbortSignal | undefined,
): Promise<WaitResult> {
  if (signal?.aborted) return 'aborted';
  let timer: NodeJS.Timeout | undefined;
  let abort: () => void = () => undefined;
  const ended = new Promise<WaitResult>((resolve) => {
    abort = () => resolve('aborted');
    signal?.addEventListener('abort', abort, { once: true });
    if (deadline !== Infinity) timer = setTimeout(() => resolve('late'), Math.max(0, deadline - performance.now()));
  });
  const result = await Promise.race([promise.then(() => 'resolved' as const), ended]);
  clearTimeout(timer);
  signal?.removeEventListener('abort', abort);
  return result;
}
