/** The OpenAPI document at `/openapi.json`, and its rendering at `/docs`. */
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { ApiExcludeController, DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { HealthController, MetricsController } from '@app/platform';
import { EventBody } from './events/event.dto.js';
import { ProblemBody } from './http/problem.js';
import { schemaOf } from './http/schema.js';

// Declared here and not in platform, since the other apps do not load Swagger.
for (const controller of [HealthController, MetricsController]) ApiExcludeController()(controller);

export function buildOpenApi(app: NestFastifyApplication): OpenAPIObject {
  const info = new DocumentBuilder()
    .setTitle('Cloud Connector')
    .setDescription('Who is connected, send this directive and payload to that client, tell me what became of it.')
    .setVersion('1')
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .addServer('/', 'This gateway')
    // Not `addBearerAuth`, which would describe it as a JWT.
    .addSecurity('api_key', { type: 'http', scheme: 'bearer', description: 'An API key, made by `npm run key`.' })
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description: 'A token of the issuer this gateway trusts; the claim `scope` or `scp` says what it allows.',
      },
      'token',
    )
    .build();
  const document = SwaggerModule.createDocument(app, info, {
    operationIdFactory: (_controller, method) => method,
  });
  // Responses whose content is not JSON refer to these; Nest does not add them.
  const schemas = { Problem: schemaOf(ProblemBody), Event: schemaOf(EventBody) };
  document.components = { ...document.components, schemas: { ...document.components?.schemas, ...schemas } };
  return document;
}

export function serveOpenApi(app: NestFastifyApplication): void {
  const document = buildOpenApi(app);
  SwaggerModule.setup('docs', app, document, {
    jsonDocumentUrl: 'openapi.json',
    raw: ['json'],
    customSiteTitle: 'Cloud Connector API',
  });
}
