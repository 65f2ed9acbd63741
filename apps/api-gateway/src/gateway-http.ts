/** The HTTP server of the gateway, and the hooks that all routes have in common. */
import { Draining, LOGGER, httpOptions, type Logger } from '@app/platform';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyInstance } from 'fastify';
import { GUARDS, guardRoutes, type Guards } from './access/route-guard.js';
import { auditRequests } from './access/audit.js';
import { serveConsole } from './console/console-pages.js';
import type { GatewaySettings } from './gateway.settings.js';
import { Availability } from './http/availability.js';
import { readBatch, readMessage } from './messages/payload-text.js';
import { Pacing, paceResponses } from './messages/pacing.js';
import { serveOpenApi } from './openapi.js';
import { BodyBudget } from './http/body-budget.js';
import { BODY_ROOM } from './http/http.settings.js';
import { holdBodies } from './http/expectations.js';
import { takeBodies } from './http/json-body.js';
import { writeJsonTexts } from './http/json-text.js';
import { onConnect, onParserError, onRouterError } from './http/parser-errors.js';
import { requestIdOf } from './http/request-id.js';
import { measureRequests } from './http/request-metrics.js';
import { secureHeaders } from './http/secure-headers.js';

/** A client id of 256 bytes, each percent-encoded. */
const MAX_PARAM_LENGTH = 768;

export function gatewayAdapter(settings: GatewaySettings, logger: Logger): FastifyAdapter {
  const { http, ...options } = httpOptions(settings);
  return new FastifyAdapter({
    ...options,
    // The guard refuses a request without a host, with a problem.
    http: { ...http, requireHostHeader: false },
    ...(settings.TRUSTED_PROXIES.length > 0 && { trustProxy: settings.TRUSTED_PROXIES }),
    genReqId: requestIdOf,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    // The guard answers 503 while the gateway stops, with a problem.
    return503OnClosing: false,
    clientErrorHandler: onParserError(logger),
    frameworkErrors: onRouterError(logger),
  });
}

/** Call it before the app is initialized, so before any route is added. */
export function prepareHttp(app: NestFastifyApplication, settings: GatewaySettings): void {
  const fastify = app.getHttpAdapter().getInstance();
  const logger = app.get<Logger>(LOGGER);
  measureRequests(fastify);
  writeJsonTexts(fastify);
  secureHeaders(fastify, settings);
  guardRoutes(fastify, app.get<Guards>(GUARDS), app.get(Availability));
  auditRequests(fastify, logger);
  const message = { limit: settings.MAX_PAYLOAD_BYTES + BODY_ROOM, read: readMessage };
  const bodies = {
    'POST /v1/messages': { limit: settings.MAX_BATCH_BYTES, read: readBatch },
    'POST /v1/connections/:client_id/messages': message,
    'POST /v1/connections/:client_id/force-disconnect': { limit: BODY_ROOM },
  };
  takeBodies(fastify, bodies, app.get(BodyBudget));
  paceResponses(fastify, app.get(Pacing));
  closeConnectionsAtStop(fastify, app.get(Draining));
  holdBodies(app.getHttpServer());
  app.getHttpServer().on('connect', onConnect(logger));
  serveOpenApi(app, settings);
  serveConsole(fastify, settings, logger);
}

/** While the gateway stops, each response closes its connection: an open one would delay the end of the server. */
function closeConnectionsAtStop(fastify: FastifyInstance, draining: Draining): void {
  fastify.addHook('onSend', (_request, reply, payload, done) => {
    if (draining.started) reply.header('connection', 'close');
    done(null, payload);
  });
}
