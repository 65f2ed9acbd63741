import fastify from 'fastify';
import { secureHeaders } from './secure-headers.js';

const NOTHING = "default-src 'none';frame-ancestors 'none';base-uri 'none';form-action 'none'";
const EVERYWHERE = {
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
};

/** Headers of a response, except those of its body and connection. */
async function headersOf(path: string): Promise<object> {
  const app = fastify();
  secureHeaders(app, {});
  for (const route of ['/docs', '/docs/swagger-ui.css', '/v1/connections']) app.get(route, () => 'text');
  const { headers } = await app.inject(path);
  await app.close();
  return Object.fromEntries(
    Object.entries(headers).filter(
      ([name]) => !['content-type', 'content-length', 'date', 'connection'].includes(name),
    ),
  );
}

describe('secureHeaders', () => {
  it.each(['/v1/connections', '/nowhere'])(
    'keeps browsers from running or storing a response of the API (%s)',
    async (path) => {
      expect(await headersOf(path)).toEqual({
        ...EVERYWHERE,
        'content-security-policy': NOTHING,
        'cache-control': 'no-store',
      });
    },
  );

  it.each(['/docs', '/docs/swagger-ui.css'])(
    'lets the rendered documents (%s) load only their own scripts and styles',
    async (path) => {
      expect(await headersOf(path)).toEqual({
        ...EVERYWHERE,
        'content-security-policy': `${NOTHING};script-src 'self';style-src 'self';img-src 'self' data:;connect-src 'self'`,
      });
    },
  );
});
