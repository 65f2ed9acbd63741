/** Requests out of an OpenAPI document: each parameter and body is sometimes what it should be, and sometimes hostile. */
import fc from 'fast-check';
import { parametersOf, resolved, type OpenApi, type Operation, type Schema } from '../support/openapi.js';
import { hostileString, hostileText, hostileValue } from './hostile.js';

export interface Request {
  operation: string;
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string | undefined;
  /** Statuses the document names. */
  documented: ReadonlySet<number>;
  /** The answer does not end by itself. */
  endless: boolean;
}

/** `ids`: values that exist, for path parameters that would seldom be met by chance. */
export function requestsOf(document: OpenApi, ids: Record<string, readonly string[]>): fc.Arbitrary<Request> {
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => requestOf(document, ids, path, method, operation)),
  );
  return fc.oneof(...operations);
}

function requestOf(
  document: OpenApi,
  ids: Record<string, readonly string[]>,
  template: string,
  method: string,
  operation: Operation,
): fc.Arbitrary<Request> {
  const parameters = parametersOf(document, operation);
  const values = Object.fromEntries(
    parameters.map((parameter) => {
      const known = ids[parameter.name];
      const wanted =
        known === undefined ? valid(document, parameter.schema ?? {}).map(asText) : fc.constantFrom(...known);
      const value = fc.oneof(wanted, hostileString);
      return [parameter.name, parameter.in === 'path' ? value : fc.option(value, { nil: undefined })];
    }),
  );
  const schema = operation.requestBody?.content['application/json']?.schema;
  const body =
    schema === undefined
      ? fc.constant(undefined)
      : fc.oneof(
          { weight: 3, arbitrary: valid(document, schema).map((value) => JSON.stringify(value)) },
          { weight: 2, arbitrary: mutated(document, schema).map((value) => JSON.stringify(value)) },
          { weight: 1, arbitrary: hostileText },
        );
  const documented = new Set(Object.keys(operation.responses).map(Number));
  const endless = Object.values(operation.responses).some(
    ({ content }) => content?.['text/event-stream'] !== undefined,
  );
  return fc.record({ values: fc.record(values), body }).map(({ values: given, body: text }) => {
    let path = template;
    const query: string[] = [];
    const headers: Record<string, string> = text === undefined ? {} : { 'content-type': 'application/json' };
    for (const { name, in: where } of parameters) {
      const value = given[name];
      if (value === undefined) continue;
      if (where === 'path') path = path.replace(`{${name}}`, () => encode(value));
      else if (where === 'query') query.push(`${encode(name)}=${encode(value)}`);
      else if (/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) headers[name] = value;
    }
    return {
      operation: operation.operationId,
      method: method.toUpperCase(),
      path: query.length === 0 ? path : `${path}?${query.join('&')}`,
      headers,
      body: text,
      documented,
      endless,
    };
  });
}

function encode(value: string): string {
  return encodeURIComponent(value.toWellFormed());
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** A value the schema allows, roughly. */
function valid(document: OpenApi, schema: Schema, depth = 0): fc.Arbitrary<unknown> {
  if (schema.$ref !== undefined) return valid(document, resolved(document, schema), depth);
  if (schema.const !== undefined) return fc.constant(schema.const);
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map((one) => valid(document, one, depth)));
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  switch (type) {
    case 'object': {
      const required = schema.required ?? [];
      const members = Object.entries(schema.properties ?? {}).map(([name, member]) => [
        name,
        valid(document, member, depth + 1),
      ]);
      return fc.record(Object.fromEntries(members) as Record<string, fc.Arbitrary<unknown>>, {
        requiredKeys: required,
      });
    }
    case 'array':
      return fc.array(valid(document, schema.items ?? {}, depth + 1), {
        minLength: 1,
        maxLength: Math.min(3, schema.maxItems ?? 3),
      });
    case 'integer':
    case 'number':
      return fc.integer({ min: Math.max(0, schema.minimum ?? 0), max: Math.min(schema.maximum ?? 1000, 1000) });
    case 'boolean':
      return fc.boolean();
    case 'string': {
      // An example has the form that the text of the description asks for.
      const any = fc.string({ minLength: schema.minLength ?? 0, maxLength: Math.min(schema.maxLength ?? 20, 20) });
      return schema.examples === undefined ? any : fc.oneof(fc.constantFrom(...schema.examples), any);
    }
    default:
      return hostileValue;
  }
}

/** An object of the schema with one member that is wrong, missing or too many. */
function mutated(document: OpenApi, schema: Schema): fc.Arbitrary<unknown> {
  return fc
    .record({ base: valid(document, schema), name: hostileString, value: hostileValue, at: fc.nat(), how: fc.nat(2) })
    .map(({ base, name, value, at, how }) => {
      if (typeof base !== 'object' || base === null) return value;
      const entries = Object.entries(base);
      const hit = entries.length === 0 ? 0 : at % entries.length;
      if (how === 0) return Object.fromEntries([...entries, [name, value]]);
      if (how === 1) return Object.fromEntries(entries.filter((_, i) => i !== hit));
      return Object.fromEntries(entries.map(([key, old], i) => [key, i === hit ? value : old]));
    });
}
