/** Response headers that keep browsers from framing, sniffing, running or storing a response. There is no CORS. */
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

/** For every response except the rendered documents. */
export const DATA_HEADERS: Readonly<Record<string, string>> = { ...SECURE_HEADERS, 'cache-control': 'no-store' };

/** For the rendered documents, which have scripts, and styles in the page. */
const DOCUMENT_HEADERS: Readonly<Record<string, string>> = {
  ...SECURE_HEADERS,
  'content-security-policy': `${NOTHING};script-src 'self';style-src 'self' 'unsafe-inline';img-src 'self' data:;connect-src 'self'`,
};

/** Call it before any hook that may refuse a request. */
export function secureHeaders(fastify: FastifyInstance): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.headers(request.routeOptions.url?.startsWith('/docs') === true ? DOCUMENT_HEADERS : DATA_HEADERS);
    done();
  });
}
