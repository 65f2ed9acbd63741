/** The limits of every HTTP server of the apps: how long a request and its headers may take, and the size of headers. */
import type { ServerOptions } from 'node:http';
import type { FastifyServerOptions } from 'fastify';

/** How often Node looks for requests that take too long. */
const CHECK_EVERY_MS = 500;

export function serverOptions({ REQUEST_TIMEOUT }: { REQUEST_TIMEOUT: number }): ServerOptions {
  return {
    requestTimeout: REQUEST_TIMEOUT,
    headersTimeout: Math.min(10_000, REQUEST_TIMEOUT / 2),
    connectionsCheckingInterval: CHECK_EVERY_MS,
    maxHeaderSize: 16_384,
  };
}

export function httpOptions(settings: { REQUEST_TIMEOUT: number }): FastifyServerOptions & { http: ServerOptions } {
  return { http: serverOptions(settings), requestTimeout: settings.REQUEST_TIMEOUT };
}
