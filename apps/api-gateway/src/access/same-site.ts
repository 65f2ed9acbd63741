/**
 * Without credentials, a web page in a browser on the same machine must not be able to use the API: requests must name a
 * loopback host, and must not come from another origin.
 */
import { isLoopback } from '@app/platform';
import type { FastifyRequest } from 'fastify';
import { Problem } from '../http/problem.js';

/** @throws Problem */
export function assertSameSite({ headers: { host = '', origin } }: Pick<FastifyRequest, 'headers'>): void {
  const isForeign = origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== host);
  if (!isLoopback(host) || isForeign) {
    throw new Problem('forbidden', 'without credentials the API serves only this machine; set API_KEYS_FILE');
  }
}
