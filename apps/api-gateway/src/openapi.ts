/** The OpenAPI document, made of the controllers and their schemas. */
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { ApiExcludeController, DocumentBuilder, SwaggerModule, type OpenAPIObject } from '@nestjs/swagger';
import { HealthController, MetricsController } from '@app/platform';
import { z } from 'zod';
import { SCOPES, SCOPE_TEXTS } from './access/scopes.js';
import { EventBody } from './events/event.dto.js';
import { EventCursor } from './events/event-cursor.js';
import { EventFilter } from './events/events-query.dto.js';
import { ProblemBody } from './http/problem.js';
import { BatchItem } from './messages/message.dto.js';
import { completed } from './openapi/completed.js';
import { serveDocument } from './openapi/document-pages.js';
import type { OpenApiSettings } from './openapi/openapi.settings.js';
import { OpenApiSchemas } from './openapi/openapi-schemas.js';

// Declared here and not in platform, since the other apps do not load Swagger.
for (const controller of [HealthController, MetricsController]) ApiExcludeController()(controller);

const SCOPE_LIST = SCOPES.map((scope) => `- \`${scope}\`: ${SCOPE_TEXTS[scope]}`).join('\n');

const TAGS: Readonly<Record<string, string>> = {
  Connections: 'The clients that have registered: who they are, and whether they are online.',
  Messages: 'Messages to clients, and what became of them.',
  Events: 'What happens, as it happens.',
  Stats: 'Figures of connections and messages.',
  Cluster: 'The processes of the service, sweeps and dead letters. Callers that are bound to an account get 404.',
  Access: 'The caller and what it may do.',
};

/** Schemas to which decorators refer by name, because Nest does not see them. */
const NAMED_SCHEMAS = [
  [ProblemBody, 'output'],
  [EventBody, 'output'],
  [EventFilter, 'input'],
  [EventCursor, 'input'],
  [BatchItem, 'input'],
] as const;

/** `publicUrl`: the address that callers use. */
export function buildOpenApi(app: NestFastifyApplication, publicUrl = '/'): OpenAPIObject {
  const schemas = new OpenApiSchemas();
  for (const [type, direction] of NAMED_SCHEMAS) schemas.convert(type, direction);
  const document = SwaggerModule.createDocument(app, head(publicUrl), {
    operationIdFactory: (_controller, method) => method,
    standardSchemaConverter: (type, { schemaType }) => {
      if (!(type instanceof z.ZodType)) throw new Error('a schema of the API is not one of zod');
      return { schema: schemas.convert(type, schemaType), components: {} };
    },
  });
  return completed(document, schemas.components);
}

function head(publicUrl: string): Omit<OpenAPIObject, 'paths'> {
  const builder = new DocumentBuilder()
    .setOpenAPIVersion('3.1.0')
    .setTitle('Cloud Connector')
    .setDescription(
      'Who is connected, send this directive and payload to that client, tell me what became of it.\n\n' +
        'Responses may get further members, and their enums further values, with any release. Members of requests that are not ' +
        'known are refused, as are query parameters of operations that have some. What a later release is to remove is marked as ' +
        'deprecated for at least one minor release before.\n\n' +
        'Errors are problem details (RFC 9457); `type` says which kind. Each operation names those that it may answer with. Besides ' +
        'them, a request may get 404 if its path is not served, 405 with `Allow` if the path has other methods, 408 if it does not ' +
        'arrive within `REQUEST_TIMEOUT`, 413 if an operation that takes no body gets a large one, 417 if it expects anything but ' +
        '`100-continue`, and 431 if its headers are too large.\n\n' +
        'While the number of requests is limited, each response has the header `RateLimit-Policy`.',
    )
    .setVersion('1')
    .setLicense('Apache-2.0', 'https://www.apache.org/licenses/LICENSE-2.0')
    .addServer(publicUrl, 'The gateway')
    // Not `addBearerAuth`, which would describe it as a JWT.
    .addSecurity('api_key', {
      type: 'http',
      scheme: 'bearer',
      description: `An API key, made by \`npm run key\`. Its scopes say what it allows:\n\n${SCOPE_LIST}`,
    })
    .addBearerAuth(
      {
        type: 'http',
        scheme: 'bearer',
        bearerFormat: 'JWT',
        description: `A token of the issuer this gateway trusts; the claim \`scope\` or \`scp\` has its scopes:\n\n${SCOPE_LIST}`,
      },
      'token',
    );
  for (const [name, description] of Object.entries(TAGS)) builder.addTag(name, description);
  return builder.build();
}

export function serveOpenApi(app: NestFastifyApplication, settings: OpenApiSettings): void {
  serveDocument(app.getHttpAdapter().getInstance(), buildOpenApi(app, settings.PUBLIC_URL), settings);
}
