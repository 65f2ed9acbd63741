import { LOGGER, runApp, type Logger } from '@app/platform';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { AuditInterceptor } from './access/audit.interceptor.js';
import { Authenticator } from './access/authenticator.js';
import { guardRoutes } from './access/route-guard.js';
import { Gateway } from './gateway.js';
import { GatewayModule } from './gateway.module.js';
import { gatewaySettings } from './gateway.settings.js';
import { limitBodies } from './http/body-limits.js';
import { measureRequests } from './http/request-metrics.js';
import { ProblemFilter } from './http/problem.filter.js';
import { requestIdOf } from './http/request-id.js';
import { validationPipe } from './http/validation.js';
import { serveOpenApi } from './openapi.js';

/** Room for the members of a request beside its payload. */
const BODY_ROOM = 8192;
/** A client id of 256 bytes, each percent-encoded. */
const MAX_PARAM_LENGTH = 768;

await runApp({
  name: 'api-gateway',
  settings: gatewaySettings,
  module: (settings, logger) => GatewayModule.wire(settings, logger),
  adapter: (settings) =>
    new FastifyAdapter({
      bodyLimit: settings.MAX_PAYLOAD_BYTES + BODY_ROOM,
      genReqId: requestIdOf,
      routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
      return503OnClosing: true,
    }),
  prepare: (app, settings) => {
    const fastify = app.getHttpAdapter().getInstance();
    const logger = app.get<Logger>(LOGGER);
    measureRequests(fastify);
    guardRoutes(fastify, Authenticator.of(settings, logger));
    limitBodies(fastify, { 'POST /v1/messages': settings.MAX_BATCH_BYTES });
    app.useGlobalPipes(validationPipe());
    app.useGlobalFilters(new ProblemFilter(logger));
    app.useGlobalInterceptors(new AuditInterceptor(logger));
    serveOpenApi(app);
  },
  started: (app) => app.get(Gateway).start(),
});
