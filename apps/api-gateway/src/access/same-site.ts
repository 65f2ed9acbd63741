/**
 * If no credentials are required, a web page in a browser on the same machine must not reach the API: requests must be
 * addressed to loopback by name, and must not come from a foreign origin.
 */
import { isLoopback } from '@app/platform';
import type { FastifyRequest } from 'fastify';
import { Problem } from '../http/problem.js';

/** @throws Problem */
export function assertSameSite({ headers: { host = '', origin } }: Pick<FastifyRequest, 'headers'>): void {
  const foreign = origin !== undefined && (!URL.canParse(origin) || new URL(origin).host !== host);
  if (!isLoopback(host) || foreign) {
    throw new Problem('forbidden', 'without credentials the API serves this machine alone; set API_KEYS_FILE');
  }
}
