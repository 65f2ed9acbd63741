/** Adds to the OpenAPI document what all operations have in common: schemas, examples, headers and the way of lists in a query. */
import type { OpenAPIObject } from '@nestjs/swagger';
import { BODIES, EVENTS, PROBLEM_EXAMPLES } from './examples.js';
import type { JsonSchema } from './openapi-schemas.js';

const REQUEST_ID = 'X-Request-Id';

/** The parts of an operation that are changed here. */
interface Operation {
  parameters?: { schema?: JsonSchema; example?: unknown; style?: string; explode?: boolean }[];
  requestBody?: { content: Record<string, Content> };
  responses: Record<string, { headers?: Record<string, object>; content?: Record<string, Content> }>;
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
    headers: {
      [REQUEST_ID]: {
        description: 'The id of the request, as the request or the service has given it; logs have it too.',
        schema: { type: 'string' },
      },
    },
    examples: usedExamples(document.paths),
  };
  for (const methods of Object.values(document.paths)) {
    for (const operation of Object.values(methods) as Operation[]) complete(operation);
  }
  return document;
}

function complete({ parameters = [], requestBody, responses }: Operation): void {
  for (const parameter of parameters) {
    const { schema } = parameter;
    if (schema === undefined) continue;
    // The schema of a parameter has what the parameter says itself, in the form of older versions of OpenAPI.
    if (schema['example'] !== undefined) parameter.example = schema['example'];
    delete schema['example'];
    delete schema['description'];
    const { enum: values } = schema;
    if (Array.isArray(values) && values.length === 1) {
      schema['const'] = values[0] as unknown;
      delete schema['enum'];
    }
    if (schema['type'] === 'array') Object.assign(parameter, { style: 'form', explode: false });
  }
  for (const content of Object.values(requestBody?.content ?? {})) addExample(content);
  for (const response of Object.values(responses)) {
    response.headers = { ...response.headers, [REQUEST_ID]: { $ref: `#/components/headers/${REQUEST_ID}` } };
    for (const content of Object.values(response.content ?? {})) addExample(content);
  }
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
