/**
 * Serves the built console below `/console/`, and leads `/` there. Everybody may load it: it is the same for all, and what it
 * shows it reads from the API with the credentials of its user.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { Access, Logger } from '@app/platform';
import type { FastifyInstance, RouteShorthandOptions } from 'fastify';
import { Problem } from '../http/problem.js';
import type { ConsoleSettings } from './console.settings.js';

const PREFIX = '/console/';
const FOLDER = join(import.meta.dirname, '../../../../console');

/** Files whose names have a hash of their content. */
const HASHED = /\/assets\/[^/]+$/;

/** Call it before any route is added. */
export function serveConsole(
  fastify: FastifyInstance,
  settings: ConsoleSettings,
  logger: Logger,
  folder = FOLDER,
): void {
  if (settings.CONSOLE === 'off') return;
  if (!existsSync(join(folder, 'index.html'))) {
    logger.warn({ folder }, 'there is no console: this gateway was built without it');
    return;
  }
  const config: RouteShorthandOptions = { config: { access: { audience: 'page' } satisfies Access } };
  fastify.register(fastifyStatic, {
    root: folder,
    prefix: PREFIX,
    preCompressed: true,
    cacheControl: false,
    index: false,
    // A route for each file: any other path below the prefix is one of the views.
    wildcard: false,
    globIgnore: ['**/*.{br,gz}', 'index.html'],
    setHeaders: (reply, path) => {
      if (HASHED.test(path)) void reply.header('cache-control', 'public, max-age=31536000, immutable');
    },
  });
  const { JWT_ISSUER: issuer, OIDC_CLIENT_ID: clientId, OIDC_SCOPES: scope } = settings;
  const oidc = clientId === undefined ? null : { issuer, client_id: clientId, scope };
  fastify.get('/', config, (_request, reply) => reply.redirect(PREFIX));
  fastify.get('/console', config, (_request, reply) => reply.redirect(PREFIX));
  fastify.get(`${PREFIX}settings.json`, config, () => ({ oidc }));
  // A page of an older console may ask for a file that is gone.
  fastify.get(`${PREFIX}assets/*`, config, () => {
    throw new Problem('not-found', 'this file is not part of the console');
  });
  fastify.get(`${PREFIX}*`, config, (_request, reply) => reply.sendFile('index.html'));
}
