/** The words for a server that cannot be reached. Readiness, log lines and checks of all apps use the same. */
import { loggedError, type LoggedError } from './logged-error.js';

/** @param address without user name and password */
export function unreachable(server: string, address: string, cause: string): string {
  return `${server} at ${address} cannot be reached: ${cause}`;
}

/** Why it cannot be reached, in a few words; never empty. */
export function causeOf(error: unknown): string {
  return causes(loggedError(error)).join('; ');
}

/** A name with several addresses fails once for each, and a cluster with the error of its last node. */
function causes({ type, message, lastNodeError, errors = [] }: LoggedError): string[] {
  if (lastNodeError !== undefined) return causes(lastNodeError);
  const inner = [...new Set(errors.flatMap(causes))];
  if (inner.length > 0) return inner;
  return [message === '' ? type : message];
}
