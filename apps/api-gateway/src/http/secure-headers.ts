/** The headers that tell browsers: an answer is data, to be shown in no page, sniffed by none and stored nowhere. No CORS. */
import type { FastifyInstance } from 'fastify';

const NOTHING = "default-src 'none';frame-ancestors 'none';base-uri 'none';form-action 'none'";

const SECURE_HEADERS = {
  'content-security-policy': NOTHING,
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** Of every answer that is data. */
export const DATA_HEADERS: Readonly<Record<string, string>> = { ...SECURE_HEADERS, 'cache-control': 'no-store' };

/** The rendering of the OpenAPI document brings its own scripts and styles, some of them in the page. */
const DOCUMENT_HEADERS: Readonly<Record<string, string>> = {
  ...SECURE_HEADERS,
  'content-security-policy': `${NOTHING};script-src 'self';style-src 'self' 'unsafe-inline';img-src 'self' data:;connect-src 'self'`,
};

/** To be called before any hook that may refuse. */
export function secureHeaders(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.headers(request.routeOptions.url?.startsWith('/docs') === true ? DOCUMENT_HEADERS : DATA_HEADERS);
    done();
  });
}
