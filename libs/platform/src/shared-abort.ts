import { setMaxListeners } from 'node:events';

/** An AbortController whose signal any number of operations listen to at once; Node takes more than ten for a leak. */
export function sharedAbort(): AbortController {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  return controller;
}
