import { LOGGER, httpOptions, runApp, type Logger } from '@app/platform';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Doors } from './access/doors.js';
import { GUARDS, guardRoutes, type Guards } from './access/route-guard.js';
import { Gateway } from './gateway.js';
import { GatewayModule } from './gateway.module.js';
import { gatewaySettings } from './gateway.settings.js';
import { limitBodies } from './http/body-limits.js';
import { measureRequests } from './http/request-metrics.js';
import { ProblemFilter } from './http/problem.filter.js';
import { requestIdOf } from './http/request-id.js';
import { secureHeaders } from './http/secure-headers.js';
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
      ...httpOptions(settings),
      ...(settings.TRUSTED_PROXIES.length > 0 && { trustProxy: settings.TRUSTED_PROXIES }),
      bodyLimit: settings.MAX_PAYLOAD_BYTES + BODY_ROOM,
      genReqId: requestIdOf,
      routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
      return503OnClosing: true,
    }),
  prepare: (app, settings) => {
    const fastify = app.getHttpAdapter().getInstance();
    measureRequests(fastify);
    secureHeaders(fastify);
    guardRoutes(fastify, app.get<Guards>(GUARDS));
    limitBodies(fastify, { 'POST /v1/messages': settings.MAX_BATCH_BYTES });
    app.useGlobalPipes(validationPipe());
    app.useGlobalFilters(new ProblemFilter(app.get<Logger>(LOGGER)));
    serveOpenApi(app);
  },
  started: async (app) => {
    await app.get(Doors).open(app.getHttpAdapter().getInstance());
    await app.get(Gateway).start();
  },
});
