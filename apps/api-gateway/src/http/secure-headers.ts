/** What browsers are told: answers are data, to be shown in no page, guessed at by none, and kept nowhere. No CORS. */
import helmet, { type FastifyHelmetOptions } from '@fastify/helmet';
import type { FastifyInstance } from 'fastify';

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

const OPTIONS: FastifyHelmetOptions = {
  contentSecurityPolicy: { useDefaults: false, directives: NOTHING },
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

/** To be awaited before any route is added. */
export async function secureHeaders(fastify: FastifyInstance): Promise<void> {
  fastify.addHook('onRoute', (route) => {
    if (!route.url.startsWith('/docs')) return;
    route.helmet = { contentSecurityPolicy: { useDefaults: false, directives: DOCUMENTS } };
  });
  await fastify.register(helmet, OPTIONS);
  fastify.addHook('onRequest', (request, reply, done) => {
    if (!request.url.startsWith('/docs')) void reply.header('cache-control', 'no-store');
    done();
  });
}
