import { setMaxListeners } from 'node:events';

/** An AbortController whose signal any number of operations listen to at once; Node takes more than ten for a leak. */
export function sharedAbort(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/**
 * A shared signal that is aborted with any of these. `unlink` leaves nothing behind at them; `AbortSignal.any` does, and they
 * may live as long as the process.
 */
export function linkedAbort(...signals: readonly AbortSignal[]): { signal: AbortSignal; unlink: () => void } {
  const own = sharedAbort();
  const links = signals.map((signal) => {
    const abort = (): void => own.abort(signal.reason);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    return () => signal.removeEventListener('abort', abort);
  });
  return { signal: own.signal, unlink: () => links.forEach((unlink) => unlink()) };
}
