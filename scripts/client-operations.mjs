/** Generates the methods of `libs/client`, one for each operation, from the OpenAPI document. */
import { join } from 'node:path';
import { ROOT } from './setup.mjs';

export const OPERATIONS = join(ROOT, 'libs/client/src/generated/operations.gen.ts');

/** Operations that are written by hand: an event stream is more than a call and its answer. */
const BY_HAND = new Set(['streamEvents']);

/**
 * Methods whose signature in the published client differs from the rule.
 * `body` and `answer` name the one member that is passed instead of the whole; with `mayBeEmpty`, a gateway of version
 * 0.1.0 answers without a body.
 * @type {Readonly<Record<string, { body?: string, answer?: string, mayBeEmpty?: true }>>}
 */
const SHAPES = {
  sendMessages: { body: 'messages', answer: 'results' },
  forceDisconnect: { body: 'reconnect_after', mayBeEmpty: true },
  startSweep: { mayBeEmpty: true },
};

/**
 * The members of an OpenAPI operation that are used here.
 * @typedef {{ type?: string, minimum?: number, maximum?: number }} NumberSchema
 * @typedef {{ operationId: string, summary: string, description?: string,
 *   requestBody?: { content: { 'application/json': { schema: { $ref: string } } } },
 *   parameters?: { in: string, name: string, required?: boolean, schema: NumberSchema }[] }} OpenApiOperation
 * @typedef {Record<string, { properties?: Record<string, NumberSchema> }>} Schemas
 */

const HEAD = `// Written by \`npm run generate\` from the OpenAPI document: do not edit.
import type { CallOptions, Requester } from '../requester.js';
import type * as Api from './types.gen.js';

/** One method for each operation of the API. */
export class Operations {
  constructor(protected readonly requester: Requester) {}
`;

/** @param {object} document OpenAPI @returns {string} the methods as TypeScript */
export function operationsOf(document) {
  const { paths, components } =
    /** @type {{ paths: Record<string, Record<string, OpenApiOperation>>, components: { schemas: Schemas } }} */ (
      document
    );
  const methods = Object.entries(paths).flatMap(([url, operations]) =>
    Object.entries(operations)
      .filter(([, { operationId }]) => !BY_HAND.has(operationId))
      .map(([method, operation]) => methodOf(method.toUpperCase(), url, operation, components.schemas)),
  );
  return `${HEAD}\n${methods.join('\n')}}\n`;
}

/**
 * The arguments are, in this order, those that the operation has of: each parameter of the path, the query, the body, and
 * the options of the call, which include parameters in headers.
 * @param {string} method @param {string} url @param {OpenApiOperation} operation @param {Schemas} schemas
 */
function methodOf(method, url, operation, schemas) {
  const { operationId: id, summary, description, requestBody, parameters = [] } = operation;
  const { body, answer, mayBeEmpty } = SHAPES[id] ?? {};
  const data = `Api.${pascal(id)}Data`;
  const response = `Api.${pascal(id)}Response`;
  const among = (/** @type {string} */ place) => parameters.filter((parameter) => parameter.in === place);
  const [path, query, headers] = [among('path'), among('query'), among('header')];
  const args = path.map(({ name }) => `${camel(name)}: string`);
  const parts = [];
  if (path.length > 0) parts.push(`path: { ${path.map(({ name }) => `${name}: ${camel(name)}`).join(', ')} }`);
  if (requestBody !== undefined) {
    args.push(body === undefined ? `body: ${data}['body']` : `${camel(body)}: ${data}['body']['${body}']`);
    parts.push(body === undefined ? 'body' : `body: { ${body}: ${camel(body)} }`);
  }
  if (query.length > 0) {
    const optional = query.every(({ required }) => required !== true);
    args.push(optional ? `query: NonNullable<${data}['query']> = {}` : `query: ${data}['query']`);
    parts.push('query');
  }
  if (headers.length === 0) args.push('options?: CallOptions');
  else {
    const names = headers.map(({ name }) => camel(name));
    const types = names.map((name) => `${name}?: string | undefined`).join('; ');
    args.push(`{ ${names.join(', ')}, ...options }: CallOptions & { ${types} } = {}`);
    const given = headers.map(({ name }) => `...(${camel(name)} !== undefined && { '${name}': ${camel(name)} })`);
    parts.push(`headers: { ${given.join(', ')} }`);
  }
  const ranges = rangesOf(operation, schemas);
  if (ranges.length > 0) parts.push(`ranges: { ${ranges.join(', ')} }`);
  const type = answer === undefined ? response : `${response}['${answer}']`;
  const what = mayBeEmpty ? `${response} | undefined` : response;
  const call = `this.requester.call<${data}, ${what}>('${method}', '${url}', parts, options)`;
  return [
    ...commentOf(summary, description, mayBeEmpty),
    `  ${answer === undefined ? '' : 'async '}${id}(`,
    ...args.map((arg) => `    ${arg},`),
    `  ): Promise<${mayBeEmpty ? `${type} | undefined` : type}> {`,
    `    const parts = ${parts.length === 0 ? '{}' : `{ ${parts.join(', ')} }`};`,
    `    return ${answer === undefined ? call : `(await ${call}).${answer}`};`,
    '  }',
    '',
  ].join('\n');
}

/** Of the numbers in the query and the body. @param {OpenApiOperation} operation @param {Schemas} schemas */
function rangesOf({ requestBody, parameters = [] }, schemas) {
  const name = requestBody?.content['application/json'].schema.$ref.split('/').at(-1) ?? '';
  const members = [
    ...parameters.filter((parameter) => parameter.in === 'query').map(({ name, schema }) => ({ name, schema })),
    ...Object.entries(schemas[name]?.properties ?? {}).map(([name, schema]) => ({ name, schema })),
  ];
  return members
    .filter(({ schema }) => schema.minimum !== undefined && schema.maximum !== undefined)
    .map(({ name, schema: { minimum, maximum } }) => `${name}: [${minimum}, ${maximum}]`);
}

/** @param {string} summary @param {string | undefined} description @param {true | undefined} mayBeEmpty */
function commentOf(summary, description, mayBeEmpty) {
  const text = [`${summary}.`, ...(description === undefined ? [] : ['', description])];
  if (mayBeEmpty) text.push('', '@returns undefined if the gateway is of version 0.1.0');
  return ['  /**', ...text.map((line) => `   * ${line}`.trimEnd()), '   */'];
}

/** `client_id` and `Idempotency-Key` as `clientId` and `idempotencyKey`. @param {string} name */
function camel(name) {
  const [first = '', ...rest] = name.toLowerCase().split(/[_-]/);
  return first + rest.map(pascal).join('');
}

function pascal(/** @type {string} */ name) {
  return name.charAt(0).toUpperCase() + name.slice(1);
}
