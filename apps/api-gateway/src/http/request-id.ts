/** `X-Request-Id`: the one that the caller sent, if it is usable, or a new one. It is sent back and logged. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

const USABLE = /^[\x21-\x7e]{1,128}$/;

/** New ids: a request gets the same id each time. */
const minted = new WeakMap<object, string>();

export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const presented = request.headers['x-request-id'];
  if (typeof presented === 'string' && USABLE.test(presented)) return presented;
  let id = minted.get(request);
  if (id === undefined) minted.set(request, (id = randomUUID()));
  return id;
}
