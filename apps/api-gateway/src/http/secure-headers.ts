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

/** For the page of the OpenAPI document, which has scripts and styles in files of its own. */
const DOCUMENT_HEADERS: Readonly<Record<string, string>> = {
  ...SECURE_HEADERS,
  'content-security-policy': `${NOTHING};script-src 'self';style-src 'self';img-src 'self' data:;connect-src 'self'`,
};

/** For the console, which may run scripts of its own only, and speaks to this gateway and to the issuer of its log-in. */
function consoleHeaders(issuer: string | undefined): Readonly<Record<string, string>> {
  const connect = ["'self'", ...(issuer === undefined ? [] : [new URL(issuer).origin])].join(' ');
  const policy = [
    NOTHING,
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    `connect-src ${connect}`,
    "require-trusted-types-for 'script'",
  ];
  return { ...SECURE_HEADERS, 'content-security-policy': policy.join(';'), 'cache-control': 'no-cache' };
}

export interface LogInSettings {
  JWT_ISSUER?: string | undefined;
  OIDC_CLIENT_ID?: string | undefined;
}

/** Call it before any hook that may refuse a request. */
export function secureHeaders(fastify: FastifyInstance, { JWT_ISSUER, OIDC_CLIENT_ID }: LogInSettings): void {
  const console = consoleHeaders(OIDC_CLIENT_ID === undefined ? undefined : JWT_ISSUER);
  const headersOf = (url = ''): Readonly<Record<string, string>> => {
    if (url.startsWith('/docs')) return DOCUMENT_HEADERS;
    return url.startsWith('/console') ? console : DATA_HEADERS;
  };
  fastify.addHook('onRequest', (request, reply, done) => {
    void reply.headers(headersOf(request.routeOptions.url));
    done();
  });
}
