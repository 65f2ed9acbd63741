/**
 * The OpenAPI document at `/openapi.json`, and Swagger UI for it at `/docs/`. The page has no inline script or style, so that its
 * content security policy allows none.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Access } from '@app/platform';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { OpenApiSettings } from './openapi.settings.js';

const FILES = dirname(createRequire(import.meta.filename).resolve('swagger-ui-dist/package.json'));

const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>Cloud Connector API</title>
    <link rel="stylesheet" href="swagger-ui.css">
    <link rel="icon" type="image/png" href="favicon-32x32.png">
  </head>
  <body>
    <div id="swagger-ui"></div>
    <script src="swagger-ui-bundle.js"></script>
    <script src="start.js"></script>
  </body>
</html>
`;

const START = `SwaggerUIBundle({
  url: '../openapi.json',
  dom_id: '#swagger-ui',
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis],
});
`;

interface Page {
  type: string;
  read(): string | Promise<Buffer>;
}

const fileOf = (name: string, type: string): Page => ({ type, read: () => readFile(join(FILES, name)) });

const PAGES: Readonly<Record<string, Page>> = {
  '/docs/': { type: 'text/html; charset=utf-8', read: () => PAGE },
  '/docs/start.js': { type: 'text/javascript; charset=utf-8', read: () => START },
  '/docs/swagger-ui-bundle.js': fileOf('swagger-ui-bundle.js', 'text/javascript; charset=utf-8'),
  '/docs/swagger-ui.css': fileOf('swagger-ui.css', 'text/css; charset=utf-8'),
  '/docs/favicon-32x32.png': fileOf('favicon-32x32.png', 'image/png'),
};

/** Call it before any route is added. */
export function serveDocument(fastify: FastifyInstance, document: object, { DOCS }: OpenApiSettings): void {
  const access: Access = { audience: DOCS === 'public' ? 'page' : 'management' };
  const options = { config: { access } };
  const text = JSON.stringify(document);
  const pages = { ...PAGES, '/openapi.json': { type: 'application/json; charset=utf-8', read: () => text } };
  for (const [path, page] of Object.entries(pages)) {
    fastify.get(path, options, (request, reply) => send(page, request, reply));
  }
  // Relative, so that it is right behind a proxy that removes a part of the path.
  fastify.get('/docs', options, (_request, reply) => reply.redirect('docs/'));
}

/** Entity tags; the content of a page stays the same while the process runs. */
const tags = new WeakMap<Page, string>();

/** Whoever has the page asks for it each time, and gets it when it has changed. */
async function send(page: Page, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  void reply.header('cache-control', 'no-cache');
  const known = tags.get(page);
  if (known !== undefined && hasTag(request.headers['if-none-match'], known)) {
    return reply.status(304).header('etag', known).send();
  }
  const content = await page.read();
  const tag = known ?? `"${createHash('sha256').update(content).digest('base64url')}"`;
  tags.set(page, tag);
  return reply.header('etag', tag).type(page.type).send(content);
}

function hasTag(header: string | undefined, tag: string): boolean {
  const presented = header?.split(',').map((one) => one.trim().replace(/^W\//, '')) ?? [];
  return presented.includes(tag) || presented.includes('*');
}
