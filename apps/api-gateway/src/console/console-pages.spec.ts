import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { pino } from 'pino';
import createServer, { type FastifyInstance, type LightMyRequestResponse } from 'fastify';
import { secureHeaders } from '../http/secure-headers.js';
import { serveConsole } from './console-pages.js';
import type { ConsoleSettings } from './console.settings.js';

const SCRIPT = 'export {};';
const folder = mkdtempSync(join(tmpdir(), 'cloud-connector-pages-'));
mkdirSync(join(folder, 'assets'));
writeFileSync(join(folder, 'index.html'), '<title>console</title>');
writeFileSync(join(folder, 'assets', 'main-1a2b.js'), SCRIPT);
writeFileSync(join(folder, 'assets', 'main-1a2b.js.gz'), gzipSync(SCRIPT));

const open: FastifyInstance[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((fastify) => fastify.close()));
});
afterAll(() => rmSync(folder, { recursive: true }));

function gateway(
  settings: Partial<ConsoleSettings> = {},
): (url: string, headers?: object) => Promise<LightMyRequestResponse> {
  const all = { CONSOLE: 'on', OIDC_SCOPES: 'openid', ...settings } as const;
  const fastify = createServer();
  open.push(fastify);
  secureHeaders(fastify, all);
  serveConsole(fastify, all, pino({ level: 'silent' }), folder);
  return (url, headers = {}) => fastify.inject({ url, headers: { ...headers } });
}

it.each(['/', '/console'])('%s leads to the console', async (url) => {
  const { statusCode, headers } = await gateway()(url);
  expect([statusCode, headers.location]).toEqual([302, '/console/']);
});

it.each(['/console/', '/console/connections/a%2Fb', '/console/index.html'])(
  '%s is the page, which is not cached, and runs its own scripts only',
  async (url) => {
    const { statusCode, headers, body } = await gateway()(url);
    expect([statusCode, body, headers['cache-control']]).toEqual([200, '<title>console</title>', 'no-cache']);
    const policy = String(headers['content-security-policy']).split(';');
    expect(policy).toEqual([
      "default-src 'none'",
      "frame-ancestors 'none'",
      "base-uri 'none'",
      "form-action 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data:",
      "connect-src 'self'",
      "require-trusted-types-for 'script'",
    ]);
  },
);

it('a file with a hash in its name is cached for ever, and is served as it was compressed', async () => {
  const { headers, rawPayload } = await gateway()('/console/assets/main-1a2b.js', { 'accept-encoding': 'gzip' });
  expect(headers['cache-control']).toBe('public, max-age=31536000, immutable');
  expect([headers['content-encoding'], headers.vary]).toEqual(['gzip', 'accept-encoding']);
  expect(rawPayload).toEqual(gzipSync(SCRIPT));
});

it('a file of an older console is not found', async () => {
  const { statusCode } = await gateway()('/console/assets/main-0000.js');
  expect(statusCode).not.toBe(200);
});

it('names the issuer of its log-in, and may connect to it', async () => {
  const get = gateway({ OIDC_CLIENT_ID: 'console', JWT_ISSUER: 'https://issuer.example.com/realm' });
  const settings = (await get('/console/settings.json')).json<unknown>();
  expect(settings).toEqual({
    oidc: { issuer: 'https://issuer.example.com/realm', client_id: 'console', scope: 'openid' },
  });
  const { headers } = await get('/console/');
  expect(headers['content-security-policy']).toContain("connect-src 'self' https://issuer.example.com;");
});

it('without a client id there is no log-in at the issuer', async () => {
  expect((await gateway({ JWT_ISSUER: 'https://issuer.example.com' })('/console/settings.json')).json()).toEqual({
    oidc: null,
  });
});

it('serves nothing if it is off', async () => {
  const get = gateway({ CONSOLE: 'off' });
  expect([(await get('/')).statusCode, (await get('/console/')).statusCode]).toEqual([404, 404]);
});
