/** What every HTTP server here asks of its callers: a request arrives in good time, and its headers sooner. */
import type { ServerOptions } from 'node:http';
import type { FastifyServerOptions } from 'fastify';

/** How often requests are looked at that take too long. */
const LOOK_EVERY_MS = 500;

export function serverOptions({ REQUEST_TIMEOUT }: { REQUEST_TIMEOUT: number }): ServerOptions {
  return {
    requestTimeout: REQUEST_TIMEOUT,
    headersTimeout: Math.min(10_000, REQUEST_TIMEOUT / 2),
    connectionsCheckingInterval: LOOK_EVERY_MS,
    maxHeaderSize: 16_384,
  };
}

export function httpOptions(settings: { REQUEST_TIMEOUT: number }): FastifyServerOptions & { http: ServerOptions } {
  return { http: serverOptions(settings), requestTimeout: settings.REQUEST_TIMEOUT };
}
