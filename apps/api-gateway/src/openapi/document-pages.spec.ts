import createServer, { type FastifyInstance, type LightMyRequestResponse } from 'fastify';
import { secureHeaders } from '../http/secure-headers.js';
import { serveDocument } from './document-pages.js';

const DOCUMENT = { openapi: '3.1.0', paths: {} };

const open: FastifyInstance[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((fastify) => fastify.close()));
});

function gateway(docs: 'public' | 'management' = 'public'): {
  get: (url: string, headers?: Record<string, string>) => Promise<LightMyRequestResponse>;
  audiences: Set<string | undefined>;
} {
  const fastify = createServer();
  open.push(fastify);
  const audiences = new Set<string | undefined>();
  fastify.addHook('onRoute', ({ config }) => void audiences.add(config?.access?.audience));
  secureHeaders(fastify, {});
  serveDocument(fastify, DOCUMENT, { PUBLIC_URL: '/', DOCS: docs });
  return { get: (url, headers = {}) => fastify.inject({ url, headers }), audiences };
}

it('the page runs only scripts of its own, and has no inline script or style', async () => {
  const { headers, body } = await gateway().get('/docs/');
  expect(headers['content-type']).toBe('text/html; charset=utf-8');
  expect(String(headers['content-security-policy']).split(';')).toEqual([
    "default-src 'none'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
  ]);
  expect(body).not.toMatch(/<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)/);
});

it('each file that the page names is served with its type, and the page is found without a slash', async () => {
  const { get } = gateway();
  const { body } = await get('/docs/');
  const files = Array.from(body.matchAll(/(?:src|href)="([^"]+)"/g), ([, file = '']) => file);
  expect(files.sort()).toEqual(['favicon-32x32.png', 'start.js', 'swagger-ui-bundle.js', 'swagger-ui.css']);
  for (const file of files) {
    const { statusCode, headers, rawPayload } = await get(`/docs/${file}`);
    expect([file, statusCode, rawPayload.length > 100]).toEqual([file, 200, true]);
    expect(headers['content-type']).toMatch(/^(image\/png|text\/(css|javascript); charset=utf-8)$/);
  }
  const { statusCode, headers } = await get('/docs');
  expect([statusCode, headers.location]).toEqual([302, 'docs/']);
});

it('the document and the files have entity tags, and are sent only to those who have another one', async () => {
  const { get } = gateway();
  for (const url of ['/openapi.json', '/docs/', '/docs/swagger-ui.css']) {
    const { headers, statusCode } = await get(url);
    expect([statusCode, headers['cache-control']]).toEqual([200, 'no-cache']);
    const tag = String(headers.etag);
    for (const known of [tag, `W/${tag}`, `"a", ${tag}`, '*']) {
      const again = await get(url, { 'if-none-match': known });
      expect([known, again.statusCode, again.headers.etag, again.body]).toEqual([known, 304, tag, '']);
    }
    expect((await get(url, { 'if-none-match': '"another"' })).statusCode).toBe(200);
  }
  expect((await get('/openapi.json')).json()).toEqual(DOCUMENT);
});

it.each([
  ['public', 'page'],
  ['management', 'management'],
] as const)('with DOCS=%s all of it is for the audience "%s"', (docs, audience) => {
  expect([...gateway(docs).audiences]).toEqual([audience]);
});
