/** Which routes each port serves, and the headers for browsers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SCOPES } from '../../apps/api-gateway/src/access/scopes.js';
import { startApp, startRedis, stopAll } from '../../scripts/stack.mjs';
import { KeyRing, startGateway, type RunningGateway } from './support/gateway.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-listeners-'));
const ring = new KeyRing(join(dir, 'keys.json'));
const key = ring.add({ id: 'all', scopes: [...SCOPES] });
let gateway: RunningGateway;
let closed: Awaited<ReturnType<typeof startApp>>;

beforeAll(async () => {
  const redis = await startRedis({ dir });
  const env = { REDIS_URL: redis.url, API_KEYS_FILE: ring.path };
  [gateway, closed] = await Promise.all([
    startGateway(dir, 'gateway', env),
    startApp('api-gateway', { dir, name: 'closed', env: { ...env, NODE_ENV: 'production' } }),
  ]);
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

const MANAGEMENT = ['/metrics', '/docs', '/docs/', '/docs/start.js', '/docs/swagger-ui-bundle.js', '/openapi.json'];

async function status(url: string, authorization?: string): Promise<number> {
  const response = await fetch(url, authorization === undefined ? {} : { headers: { authorization } });
  await response.arrayBuffer();
  return response.status;
}

it.each(MANAGEMENT)(
  '%s is served on the management port only, and in production without one not at all',
  async (path) => {
    expect(await status(gateway.management + path)).toBe(200);
    for (const { url } of [gateway, closed]) {
      expect(await status(url + path)).toBe(401);
      expect(await status(url + path, `Bearer ${key}`)).toBe(404);
    }
  },
);

it('the management port does not serve the API, even with a key', async () => {
  expect(await status(`${gateway.management}/v1/connections`)).toBe(401);
  expect(await status(`${gateway.management}/v1/connections`, `Bearer ${key}`)).toBe(404);
  expect(await status(`${gateway.url}/v1/connections`, `Bearer ${key}`)).toBe(200);
  expect(await status(`${gateway.management}/health/live`)).toBe(200);
});

it('every response of the gateway, errors included, has headers that keep browsers from storing, framing, sniffing or running it', async () => {
  for (const path of ['/v1/connections', '/v1/nowhere', '/health/live']) {
    for (const headers of [{}, { authorization: `Bearer ${key}` }]) {
      const response = await fetch(gateway.url + path, { headers });
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-security-policy': "default-src 'none';frame-ancestors 'none';base-uri 'none';form-action 'none'",
        'x-content-type-options': 'nosniff',
        'x-frame-options': 'DENY',
        'referrer-policy': 'no-referrer',
        'cross-origin-resource-policy': 'same-origin',
        'strict-transport-security': 'max-age=31536000',
        'cache-control': expect.stringContaining('no-store') as string,
      });
      expect(response.headers.has('x-powered-by')).toBe(false);
      expect(response.headers.has('server')).toBe(false);
    }
  }
});

it('no response of the gateway lets a page of another origin read it', async () => {
  const origin = 'https://evil.example.com';
  const headers = { origin, authorization: `Bearer ${key}`, 'access-control-request-method': 'POST' };
  for (const method of ['GET', 'OPTIONS', 'HEAD']) {
    const response = await fetch(`${gateway.url}/v1/connections`, { method, headers });
    expect([...response.headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
  }
});

it('the rendered documents run only scripts of their own origin', async () => {
  const response = await fetch(`${gateway.management}/docs`);
  const policy = response.headers.get('content-security-policy');
  expect(policy).toContain("script-src 'self'");
  expect(policy).toContain("default-src 'none'");
  // The page has no inline script, which this policy would block.
  expect(await response.text()).not.toMatch(/<script(?![^>]*\bsrc=)[^>]*>\s*\S/);
});
