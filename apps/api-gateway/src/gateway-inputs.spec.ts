/** Each input of each operation of the OpenAPI document, in every wrong form: what the gateway says about it, and how. */
import type { z } from 'zod';
import { GatewayApp } from '../../../test/support/gateway-app.js';
import { parametersOf, resolved, type OpenApi, type Operation, type Schema } from '../../../test/support/openapi.js';
import { withRedis } from '../../../test/support/redis.js';
import { ProblemBody } from './http/problem.js';

/** What the texts of zod are known by. */
const TEXT_OF_ZOD = /^(Invalid|Expected|Too |Unrecognized)|expected .+ received|undefined|NaN/;

/** How a good text begins: it says what is needed, or what is wrong with the value. */
const GOOD = /^(is required|is not known; remove it, or use one of \w|must (be|have|name|not|occur) .)/;

let url: string;
let gateway: GatewayApp;
let document: OpenApi;

withRedis((_, server) => {
  url = server.url;
});

beforeAll(async () => {
  gateway = await GatewayApp.listen({ REDIS_URL: url, SHARD_COUNT: '4' });
  document = (await (await fetch(`${gateway.url}/openapi.json`)).json()) as OpenApi;
});

afterAll(() => gateway.stop());

type Problem = z.infer<typeof ProblemBody>;

interface Wrong {
  /** What is wrong, for the list of those that were not refused well. */
  what: string;
  /** The member or parameter that the problem has to name. */
  names: string;
  method: string;
  path: string;
  headers?: Record<string, string>;
  body?: unknown;
}

const fill = (path: string): string =>
  path.replace('{client_id}', 'device').replace(/\{(message|sweep)_id\}/, '00000000-0000-4000-8000-000000000000');

/** Texts that a schema refuses; none if it takes every text. */
function wrongTexts(schema: Schema): [string, string][] {
  const { type, enum: values, const: only, format, pattern, minimum, maximum, minLength, maxLength } = schema;
  const wrong: [string, string | undefined][] = [
    ['no number', type === 'integer' ? 'many' : undefined],
    ['too small', minimum === undefined ? undefined : String(minimum - 1)],
    ['too large', maximum === undefined ? undefined : String(maximum + 1)],
    ['not listed', values === undefined && only === undefined ? undefined : 'another'],
    ['of a wrong form', format !== undefined || pattern !== undefined ? '?+/#' : undefined],
    ['empty', minLength === undefined || minLength === 0 ? undefined : ''],
    ['too long', maxLength === undefined || maxLength > 4096 ? undefined : 'x'.repeat(maxLength + 1)],
  ];
  return wrong.flatMap(([what, text]) => (text === undefined ? [] : [[what, text]]));
}

/** Values of a member that its schema refuses. */
function wrongValues(schema: Schema): [string, unknown][] {
  const { type, minimum = 0, maximum = 0, maxLength = 0, minLength = 0, maxItems = 0 } = schema;
  switch (type) {
    case 'integer':
      return [
        ['text', '5'],
        ['a fraction', 1.5],
        ['null', null],
        ['too small', minimum - 1],
        ['too large', maximum + 1],
      ];
    case 'array':
      return [
        ['text', 'x'],
        ['empty', []],
        ['too long', Array.from({ length: maxItems + 1 }, () => ({}))],
      ];
    case 'string':
      return [
        ...([
          ['a number', 5],
          ['null', null],
          ['an object', {}],
        ] satisfies [string, unknown][]),
        ...(schema.enum === undefined
          ? [['too long', 'x'.repeat(maxLength + 1)] satisfies [string, unknown]]
          : [['not listed', 'another'] satisfies [string, unknown]]),
        ...(minLength > 0
          ? ([
              ['empty', ''],
              ['blank', ' '],
            ] satisfies [string, unknown][])
          : []),
      ];
    default:
      return [];
  }
}

function wrongParameters(method: string, path: string, operation: Operation): Wrong[] {
  const base = fill(path);
  // A good one, so that nothing else is wrong.
  const body = operation.requestBody?.content['application/json']?.example;
  const parameters = parametersOf(document, operation);
  const named = parameters.flatMap(({ name, in: place, schema = {} }): Wrong[] => {
    const { items } = resolved(document, schema);
    const texts = wrongTexts(resolved(document, items ?? schema));
    switch (place) {
      case 'query':
        return [
          ...texts.map(([what, text]) => ({ what, path: `${base}?${name}=${encodeURIComponent(text)}` })),
          { what: 'given twice', path: `${base}?${name}=1&${name}=2` },
        ].map(({ what, path }) => ({ what: `${name} ${what}`, names: name, method, path }));
      case 'path':
        return texts
          .filter(([, text]) => text !== '' && text.length < 256)
          .map(([what, text]) => ({
            what: `${name} ${what}`,
            names: name,
            method,
            path: path.replace(`{${name}}`, encodeURIComponent(text)),
            body,
          }));
      case 'header':
        // Others are ignored or replaced if they cannot be used.
        if (name !== 'Idempotency-Key' && name !== 'Last-Event-ID') return [];
        return texts
          .filter(([, text]) => text !== '')
          .map(([what, text]) => ({
            what: `${name} ${what}`,
            names: name,
            method,
            path: base,
            headers: { [name]: text },
            body,
          }));
    }
  });
  const hasQuery = parameters.some(({ in: place }) => place === 'query');
  return hasQuery
    ? [...named, { what: 'unknown parameter', names: 'unheard', method, path: `${base}?unheard=1` }]
    : named;
}

function wrongBodies(method: string, path: string, operation: Operation): Wrong[] {
  const content = operation.requestBody?.content['application/json'];
  if (content?.schema === undefined) return [];
  const schema = resolved(document, content.schema);
  const good = content.example as Record<string, unknown>;
  const about = { method, path: fill(path) };
  const members = Object.entries(schema.properties ?? {}).flatMap(([name, member]) =>
    wrongValues(resolved(document, member)).map(([what, value]) => ({
      ...{ ...about, what: `${name} ${what}`, names: `/${name}` },
      body: { ...good, [name]: value },
    })),
  );
  const missing = (schema.required ?? []).map((name) => ({
    ...{ ...about, what: `${name} missing`, names: `/${name}` },
    body: { ...good, [name]: undefined },
  }));
  const unknown = { ...about, what: 'unknown member', names: '/unheard', body: { ...good, unheard: 1 } };
  const whole = ['text', 5, null, []].map((body) => ({
    ...about,
    what: `body ${JSON.stringify(body)}`,
    names: '',
    body,
  }));
  return [...members, ...missing, unknown, ...whole, { ...about, what: 'no body', names: '' }];
}

async function problemOf({ method, path, headers, body }: Wrong): Promise<Problem> {
  const response = await fetch(gateway.url + path, {
    method,
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return response.status === 422
    ? ProblemBody.parse(JSON.parse(text))
    : Promise.reject(new Error(`${response.status}: ${text}`));
}

/** What is not as it should be in the response to a wrong request. */
async function faultsOf(wrong: Wrong): Promise<string[]> {
  const about = `${wrong.method} ${wrong.path.slice(0, 80)} ${wrong.what}`;
  let problem: Problem;
  try {
    problem = await problemOf(wrong);
  } catch (error) {
    return [`${about}: ${String(error)}`];
  }
  const errors = problem.errors ?? [];
  const names = errors.map(({ pointer, name }) => pointer ?? name ?? '');
  return [
    ...(names.includes(wrong.names) ? [] : [`is not named: ${JSON.stringify(errors)}`]),
    ...(new Set(names).size === names.length ? [] : [`has several errors: ${JSON.stringify(errors)}`]),
    ...errors.filter(({ detail }) => !GOOD.test(detail) || TEXT_OF_ZOD.test(detail)).map(({ detail }) => detail),
  ].map((fault) => `${about}: ${fault}`);
}

it('each wrong input is refused with one error, which names it and says what is needed', async () => {
  const wrong = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([name, operation]) => {
      const method = name.toUpperCase();
      return [...wrongParameters(method, path, operation), ...wrongBodies(method, path, operation)];
    }),
  );
  expect(wrong.length).toBeGreaterThan(100);
  const faults: string[] = [];
  for (const one of wrong) faults.push(...(await faultsOf(one)));
  expect(faults).toEqual([]);
});
