/** `X-Request-Id`: taken from the caller if it is usable, echoed on every response, logged. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

const USABLE = /^[\x21-\x7e]{1,128}$/;

/** Ids that were made here, so that the same request gets the same id each time. */
const madeUp = new WeakMap<object, string>();

export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const presented = request.headers['x-request-id'];
  if (typeof presented === 'string' && USABLE.test(presented)) return presented;
  let id = madeUp.get(request);
  if (id === undefined) madeUp.set(request, (id = randomUUID()));
  return id;
}
