/** The limits of every HTTP server of the apps: how long a request and its headers may take, and the size of headers. */
import type { ServerOptions } from 'node:http';
import type { FastifyServerOptions } from 'fastify';

/** How often Node looks for requests that take too long: a part of the time that they may take, and not more often than this. */
const CHECK = { part: 1 / 20, leastMs: 500 } as const;

export function serverOptions({ REQUEST_TIMEOUT }: { REQUEST_TIMEOUT: number }): ServerOptions {
  return {
    requestTimeout: REQUEST_TIMEOUT,
    headersTimeout: Math.min(10_000, REQUEST_TIMEOUT / 2),
    connectionsCheckingInterval: Math.max(CHECK.leastMs, CHECK.part * REQUEST_TIMEOUT),
    maxHeaderSize: 16_384,
  };
}

export function httpOptions(settings: { REQUEST_TIMEOUT: number }): FastifyServerOptions & { http: ServerOptions } {
  return { http: serverOptions(settings), requestTimeout: settings.REQUEST_TIMEOUT };
}
