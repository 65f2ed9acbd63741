/** Adds to the OpenAPI document what all operations have in common: schemas, examples, headers, links and the way of lists in a query. */
import type { OpenAPIObject } from '@nestjs/swagger';
import { BODIES, EVENTS, PROBLEM_EXAMPLES } from './examples.js';
import { LINKS } from './links.js';
import type { JsonSchema } from './openapi-schemas.js';

const REQUEST_ID = 'X-Request-Id';

/** Headers of responses, by name. */
const HEADERS = {
  [REQUEST_ID]: {
    description: 'The id of the request, as the request or the service has given it; logs have it too.',
    schema: { type: 'string' },
  },
  'RateLimit-Policy': {
    description:
      'While the number of requests is limited: how many requests (`q`) a caller (`key`) and an address (`address`) may make in so ' +
      'many seconds (`w`), as the draft draft-ietf-httpapi-ratelimit-headers-09 has it.',
    schema: { type: 'string', examples: ['"key";q=1000;w=1, "address";q=2000;w=1'] },
  },
  RateLimit: {
    description: 'Which of the limits is reached, and after how many seconds (`t`) requests are admitted again.',
    schema: { type: 'string', examples: ['"key";r=0;t=1'] },
  },
} as const;
type HeaderName = keyof typeof HEADERS;

const PARAMETERS = {
  [REQUEST_ID]: {
    ...({ name: REQUEST_ID, in: 'header', required: false } as const),
    description:
      'The id of the request for logs and traces, of the caller or of the service; the response has it. Without a usable one, the ' +
      'service gives one.',
    schema: { type: 'string', minLength: 1, maxLength: 128, pattern: '^[!-~]+$' },
    example: '6e84b0f2-6c4e-4b0f-8f9e-5d7a6c1b2a30',
  },
} as const;

/** The parts of an operation that are changed here. */
interface Operation {
  operationId: string;
  parameters?: { $ref?: string; schema?: JsonSchema; example?: unknown; style?: string; explode?: boolean }[];
  requestBody?: { content: Record<string, Content> };
  responses: Record<string, { headers?: Record<string, object>; content?: Record<string, Content>; links?: object }>;
}

interface Content {
  schema?: { $ref?: string };
  example?: unknown;
  examples?: Record<string, object>;
}

/** @returns the document, which is changed */
export function completed(document: OpenAPIObject, schemas: Readonly<Record<string, JsonSchema>>): OpenAPIObject {
  const byName = Object.entries(schemas).toSorted(([a], [b]) => (a < b ? -1 : 1));
  document.components = {
    ...document.components,
    schemas: Object.fromEntries(byName),
    parameters: PARAMETERS,
    headers: HEADERS,
    examples: usedExamples(document.paths),
  };
  for (const methods of Object.values(document.paths)) {
    for (const operation of Object.values(methods) as Operation[]) complete(operation);
  }
  return document;
}

function complete(operation: Operation): void {
  const { operationId, parameters = [], requestBody, responses } = operation;
  for (const parameter of parameters) {
    const { schema } = parameter;
    if (schema === undefined) continue;
    // The schema of a parameter has what the parameter says itself, in the form of older versions of OpenAPI.
    if (schema['example'] !== undefined) parameter.example = schema['example'];
    delete schema['example'];
    delete schema['description'];
    // Nest adds a type to every header, also to one with a named schema.
    if (schema['$ref'] !== undefined) delete schema['type'];
    const { enum: values } = schema;
    if (Array.isArray(values) && values.length === 1) {
      schema['const'] = values[0] as unknown;
      delete schema['enum'];
    }
    if (schema['type'] === 'array') Object.assign(parameter, { style: 'form', explode: false });
  }
  operation.parameters = [...parameters, { $ref: `#/components/parameters/${REQUEST_ID}` }];
  for (const content of Object.values(requestBody?.content ?? {})) addExample(content);
  for (const [status, response] of Object.entries(responses)) {
    const headers = headersOf(Number(status)).map((name) => [name, { $ref: `#/components/headers/${name}` }]);
    response.headers = { ...response.headers, ...(Object.fromEntries(headers) as Record<string, object>) };
    for (const content of Object.values(response.content ?? {})) addExample(content);
    const links = LINKS[operationId]?.[status];
    if (links !== undefined) response.links = links;
  }
}

/** Headers that responses with a status have, beside those that their operation declares. */
function headersOf(status: number): HeaderName[] {
  if (status === 429) return [REQUEST_ID, 'RateLimit-Policy', 'RateLimit'];
  return status < 300 ? [REQUEST_ID, 'RateLimit-Policy'] : [REQUEST_ID];
}

/** The examples of the problems to which operations refer. */
function usedExamples(paths: object): typeof PROBLEM_EXAMPLES {
  const text = JSON.stringify(paths);
  const used = Object.entries(PROBLEM_EXAMPLES).filter(([kind]) => text.includes(`"#/components/examples/${kind}"`));
  return Object.fromEntries(used);
}

function addExample(content: Content): void {
  const name = content.schema?.$ref?.split('/').at(-1);
  if (name === undefined || content.examples !== undefined) return;
  if (name === 'Event') content.examples = Object.fromEntries(EVENTS.map((value) => [value.type, { value }]));
  else if (name in BODIES) content.example = BODIES[name as keyof typeof BODIES];
}
