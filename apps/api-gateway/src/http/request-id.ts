/** `X-Request-Id`: taken over from the caller if it is usable, echoed on every response, logged. */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

const USABLE = /^[\x21-\x7e]{1,128}$/;

/** Ids that were made up; who asks again about the same request gets the same. */
const madeUp = new WeakMap<object, string>();

export function requestIdOf(request: Pick<IncomingMessage, 'headers'>): string {
  const given = request.headers['x-request-id'];
  if (typeof given === 'string' && USABLE.test(given)) return given;
  let id = madeUp.get(request);
  if (id === undefined) madeUp.set(request, (id = randomUUID()));
  return id;
}
