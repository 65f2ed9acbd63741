import { setMaxListeners } from 'node:events';

/** An AbortController whose signal may have any number of listeners. Node warns of a leak at more than ten. */
export function sharedAbort(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}

/**
 * A shared signal that is aborted together with any of `signals`. `unlink` removes its listeners from them. `AbortSignal.any`
 * cannot do that, and the signals may live as long as the process.
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
