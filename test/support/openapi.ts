/** An OpenAPI document, as far as tests read it: of release 0.1.0, which has version 3.0, and of now. */

/** JSON Schema. */
export interface Schema {
  [keyword: string]: unknown;
  $ref?: string;
  type?: string | string[];
  /** In version 3.0 alone. */
  nullable?: boolean;
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  additionalProperties?: boolean | Schema;
  oneOf?: Schema[];
  anyOf?: Schema[];
  enum?: unknown[];
  const?: unknown;
  format?: string;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  examples?: unknown[];
  discriminator?: { propertyName: string; mapping?: Record<string, string> };
}

export interface Example {
  $ref?: string;
  value?: unknown;
}

export interface Content {
  schema?: Schema;
  example?: unknown;
  examples?: Record<string, Example>;
}

export interface Parameter {
  name: string;
  in: 'path' | 'query' | 'header';
  required?: boolean;
  description?: string;
  schema?: Schema;
}

export interface Reference {
  $ref: string;
}

interface Header {
  $ref?: string;
  description?: string;
}

interface Link {
  operationId: string;
  parameters: Record<string, string>;
  description?: string;
}

export interface Operation {
  operationId: string;
  summary?: string;
  description?: string;
  tags?: string[];
  security?: Record<string, string[]>[];
  'x-required-scope'?: string;
  parameters?: (Parameter | Reference)[];
  requestBody?: { description?: string; required?: boolean; content: Record<string, Content> };
  responses: Record<
    string,
    {
      description?: string;
      headers?: Record<string, Header>;
      content?: Record<string, Content>;
      links?: Record<string, Link>;
    }
  >;
}

export interface OpenApi {
  openapi: string;
  info: { description?: string };
  servers?: { url: string; description?: string }[];
  tags?: { name: string; description?: string }[];
  paths: Record<string, Record<string, Operation>>;
  components: {
    schemas: Record<string, Schema>;
    parameters?: Record<string, Parameter>;
    headers?: Record<string, Header>;
    examples?: Record<string, Example>;
    securitySchemes?: Record<string, { description?: string }>;
  };
}

/** The last part of a reference. */
export function nameOf(ref: string): string {
  return ref.slice(ref.lastIndexOf('/') + 1);
}

/** A schema without a reference at its top. */
export function resolved({ components }: Pick<OpenApi, 'components'>, schema: Schema): Schema {
  let found = schema;
  while (found.$ref !== undefined) found = components.schemas[nameOf(found.$ref)] ?? {};
  return found;
}

/** The parameters of an operation, without references. */
export function parametersOf(document: Pick<OpenApi, 'components'>, { parameters = [] }: Operation): Parameter[] {
  return parameters.flatMap((one) => {
    if (!('$ref' in one)) return [one];
    const shared = document.components.parameters?.[nameOf(one.$ref)];
    return shared === undefined ? [] : [shared];
  });
}
