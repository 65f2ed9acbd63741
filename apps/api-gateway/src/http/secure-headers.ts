/** What browsers are told: answers are data, to be shown in no page, guessed at by none, and kept nowhere. No CORS. */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import helmet, { type HelmetOptions } from 'helmet';

const NOTHING = {
  'default-src': ["'none'"],
  'frame-ancestors': ["'none'"],
  'base-uri': ["'none'"],
  'form-action': ["'none'"],
};

/** The rendering of the OpenAPI document brings its own scripts and styles, some of them in the page. */
const DOCUMENTS = {
  ...NOTHING,
  'script-src': ["'self'"],
  'style-src': ["'self'", "'unsafe-inline'"],
  'img-src': ["'self'", 'data:'],
  'connect-src': ["'self'"],
};

const OPTIONS: HelmetOptions = {
  frameguard: { action: 'deny' },
  referrerPolicy: { policy: 'no-referrer' },
  crossOriginResourcePolicy: { policy: 'same-origin' },
  hsts: { maxAge: 31_536_000, includeSubDomains: false },
  // Nothing here is run or opened by a browser, so these would be noise.
  crossOriginOpenerPolicy: false,
  originAgentCluster: false,
  dnsPrefetchControl: false,
  ieNoOpen: false,
  permittedCrossDomainPolicies: false,
  xssFilter: false,
};

/** Of every answer that is data. */
export const DATA_HEADERS: Readonly<Record<string, string>> = { ...headersOf(NOTHING), 'cache-control': 'no-store' };

/** To be called before any hook that may refuse. */
export function secureHeaders(fastify: FastifyInstance): void {
  const ofDocuments = headersOf(DOCUMENTS);
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.headers(request.routeOptions.url?.startsWith('/docs') === true ? ofDocuments : DATA_HEADERS);
    done();
  });
}

/** What helmet says is the same for each answer, so it is asked once and not on every request. */
function headersOf(directives: Record<string, string[]>): Record<string, string> {
  const request = new IncomingMessage(new Socket());
  const response = new ServerResponse(request);
  helmet({ ...OPTIONS, contentSecurityPolicy: { useDefaults: false, directives } })(request, response, () => undefined);
  return Object.fromEntries(Object.entries(response.getHeaders()).map(([name, value]) => [name, String(value)]));
}
