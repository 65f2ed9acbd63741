/** What generators and readers of an OpenAPI 3.1 document would stumble over. Each fault is a line with its place. */
import { z } from 'zod';
import { nameOf, parametersOf, type Content, type OpenApi, type Operation, type Schema } from '../support/openapi.js';

type Direction = 'request' | 'response';

export function faultsOf(document: OpenApi): string[] {
  const { components, paths } = document;
  const operations = Object.values(paths).flatMap((methods) => Object.values(methods));
  const requests = namesWithin(
    document,
    operations.flatMap((operation) => requestSchemas(document, operation)),
  );
  return [
    ...faultsOfHead(document),
    ...operations.flatMap((operation) => faultsOfOperation(document, operation)),
    ...Object.entries(components.schemas).flatMap(([name, schema]) => [
      ...(schema.description ? [] : [`schema ${name}: has no description`]),
      ...faultsOfSchema(name, schema, requests.has(name) ? 'request' : 'response', true),
      ...faultsOfUnion(document, name, schema),
    ]),
  ];
}

function faultsOfHead({ openapi, info, servers = [], tags = [], paths, components }: OpenApi): string[] {
  const used = Object.values(paths).flatMap((methods) => Object.values(methods).flatMap(({ tags = [] }) => tags));
  const schemes = Object.entries(components.securitySchemes ?? {});
  return [
    ...(openapi.startsWith('3.1.') ? [] : [`the version is ${openapi}, not 3.1`]),
    ...(info.description ? [] : ['the document has no description']),
    ...(servers.length > 0 ? [] : ['the document names no servers']),
    ...servers.filter(({ description }) => !description).map(({ url }) => `server ${url}: has no description`),
    ...[...new Set(used)]
      .filter((name) => !tags.some((tag) => tag.name === name && tag.description))
      .map((name) => `tag ${name}: has no description`),
    ...schemes.filter(([, { description }]) => !description).map(([name]) => `security ${name}: has no description`),
  ];
}

function requestSchemas(document: OpenApi, operation: Operation): Schema[] {
  const bodies = Object.values(operation.requestBody?.content ?? {});
  return [...parametersOf(document, operation), ...bodies].flatMap(({ schema }) =>
    schema === undefined ? [] : [schema],
  );
}

function faultsOfOperation(document: OpenApi, operation: Operation): string[] {
  const { operationId: id, requestBody, responses } = operation;
  const parameters = parametersOf(document, operation);
  const scope = operation['x-required-scope'];
  const shownScopes = (operation.security ?? []).map((one) => Object.values(one).flat());
  const bodies = Object.entries(requestBody?.content ?? {});
  const answers = Object.entries(responses).flatMap(([status, { content = {} }]) =>
    Object.entries(content).map(([type, media]) => ({ where: `${id} ${status} ${type}`, media })),
  );
  return [
    ...(operation.summary && operation.description ? [] : [`${id}: has no summary or no description`]),
    ...(operation.tags?.length === 1 ? [] : [`${id}: has not one tag`]),
    ...(shownScopes.length > 0 && shownScopes.every((scopes) => scopes.join() === (scope ?? ''))
      ? []
      : [`${id}: its security does not show its scope`]),
    ...(scope?.startsWith('cluster:') && !('404' in responses)
      ? [`${id}: lacks the 404 of callers of an account`]
      : []),
    ...('400' in responses ? [] : [`${id}: lacks the 400 of a request that cannot be read`]),
    ...(parameters.every((one) => one.in !== 'path') || '414' in responses
      ? []
      : [`${id}: lacks the 414 of a long path`]),
    ...Object.entries(responses).flatMap(([status, response]) => faultsOfLinks(document, `${id} ${status}`, response)),
    ...parameters.flatMap(({ name, description, schema = {} }) => [
      ...(description ? [] : [`${id} ${name}: has no description`]),
      ...faultsOfSchema(`${id} ${name}`, schema, 'request', false),
    ]),
    ...(parameters.some(({ name }) => name === 'X-Request-Id') ? [] : [`${id}: does not take X-Request-Id`]),
    ...Object.entries(responses).flatMap(([status, { headers = {} }]) =>
      faultsOfHeaders(document, `${id} ${status}`, headers),
    ),
    ...Object.entries(responses)
      .filter(([, { description }]) => !description)
      .map(([status]) => `${id} ${status}: has no description`),
    ...bodies.flatMap(([type, media]) => faultsOfContent(document, `${id} ${type}`, media)),
    ...answers.flatMap(({ where, media }) => faultsOfContent(document, where, media)),
  ];
}

type Response = Operation['responses'][string];
type Headers = NonNullable<Response['headers']>;

function faultsOfHeaders({ components }: OpenApi, where: string, headers: Headers): string[] {
  const shown = Object.entries(headers).map(([name, { $ref, description }]) =>
    $ref === undefined ? { name, description } : { name, ...components.headers?.[nameOf($ref)] },
  );
  const needed = ['X-Request-Id', ...(where.endsWith(' 429') ? ['Retry-After', 'RateLimit', 'RateLimit-Policy'] : [])];
  return [
    ...shown.filter(({ description }) => !description).map(({ name }) => `${where} ${name}: has no description`),
    ...needed.filter((name) => !(name in headers)).map((name) => `${where}: has no header ${name}`),
  ];
}

/** A link names an operation, its parameters, and members of the response that has the link. */
function faultsOfLinks(document: OpenApi, where: string, { links = {}, content = {} }: Response): string[] {
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const body = content['application/json']?.schema;
  const { properties = {} } = document.components.schemas[nameOf(body?.$ref ?? '')] ?? {};
  return Object.entries(links).flatMap(([name, { operationId, parameters, description }]) => {
    const target = operations.find((operation) => operation.operationId === operationId);
    const taken = target === undefined ? [] : parametersOf(document, target).map((one) => one.name);
    const members = Object.values(parameters).flatMap((value) => /^\$response\.body#\/(.*)$/.exec(value)?.[1] ?? []);
    return [
      ...(description ? [] : ['has no description']),
      ...(target === undefined ? [`leads to no operation: ${operationId}`] : []),
      ...Object.keys(parameters)
        .filter((one) => !taken.includes(one))
        .map((one) => `${operationId} does not take ${one}`),
      ...members.filter((member) => !(member in properties)).map((member) => `the response has no ${member}`),
    ].map((fault) => `${where} link ${name}: ${fault}`);
  });
}

function faultsOfContent(document: OpenApi, where: string, { schema, example, examples = {} }: Content): string[] {
  if (schema?.$ref === undefined) return [`${where}: its schema has no name`];
  const shown = Object.values(examples).map(({ $ref, value }) =>
    $ref === undefined ? value : document.components.examples?.[nameOf($ref)]?.value,
  );
  if (example !== undefined) shown.push(example);
  if (shown.length === 0) return [`${where}: has no example`];
  const fits = validatorOf(document, schema.$ref);
  return shown.flatMap((value) => {
    const issues = fits.safeParse(value).error?.issues ?? [];
    return issues.map(({ path, message }) => `${where}: its example is wrong at /${path.join('/')}: ${message}`);
  });
}

/** A schema and those in it; references are not followed. `isNamed`: it is a component of the document. */
function faultsOfSchema(where: string, schema: Schema, direction: Direction, isNamed: boolean): string[] {
  const { properties = {}, items, anyOf = [], oneOf = [], additionalProperties } = schema;
  const isObject = schema.properties !== undefined;
  const faults = [
    ...(isNamed || !isObject ? [] : ['is an object without a name']),
    ...(isNamed || schema.enum === undefined ? [] : ['is an enum without a name']),
    ...(schema.format !== undefined && schema.pattern !== undefined ? ['has a pattern beside a format'] : []),
    ...(Number.isSafeInteger((schema.minimum ?? 0) - 1) ? [] : ['has the bounds of safe integers']),
    ...(direction === 'request' && !hasRule(schema) ? ['has no rule for its length or value'] : []),
    ...(direction === 'request' && 'default' in schema ? ['has a default in a request'] : []),
    ...(direction === 'response' && additionalProperties === false ? ['refuses further members in a response'] : []),
    ...(direction === 'request' && isObject && additionalProperties !== false ? ['accepts any member'] : []),
  ].map((fault) => `${where}: ${fault}`);
  // What refers to a named schema may leave the text to it.
  const undescribed = Object.entries(properties).filter(([, { description, $ref }]) => !(description ?? $ref));
  const parts = { ...properties, ...(items && { '[]': items }) };
  return [
    ...faults,
    ...undescribed.map(([name]) => `${where}.${name}: has no description`),
    ...Object.entries(parts).flatMap(([name, part]) => faultsOfSchema(`${where}.${name}`, part, direction, false)),
    ...[...anyOf, ...oneOf].flatMap((part) => faultsOfSchema(where, part, direction, false)),
    ...(typeof additionalProperties === 'object'
      ? faultsOfSchema(`${where}.*`, additionalProperties, direction, false)
      : []),
  ];
}

/** Whether a caller can know how long or large a value may be. A payload may be any JSON value. */
function hasRule({ type, ...schema }: Schema): boolean {
  const has = (...keywords: string[]): boolean => keywords.every((keyword) => keyword in schema);
  switch (type) {
    case 'string':
      return has('maxLength') || has('format') || has('enum') || has('const');
    case 'integer':
    case 'number':
      return has('minimum', 'maximum');
    case 'array':
      return has('minItems', 'maxItems');
    default:
      return true;
  }
}

/** A union of objects says by which member they differ, and maps each value to its schema. */
function faultsOfUnion({ components }: OpenApi, where: string, { oneOf, discriminator }: Schema): string[] {
  if (oneOf === undefined) return [];
  const mapping = Object.entries(discriminator?.mapping ?? {});
  const mapped = mapping.map(([, ref]) => ref);
  const missing = oneOf.filter(({ $ref = '' }) => !mapped.includes($ref)).map(({ $ref }) => $ref ?? 'without a name');
  const wrong = mapping.filter(([value, ref]) => {
    const member = components.schemas[nameOf(ref)]?.properties?.[discriminator?.propertyName ?? ''];
    return member?.['const'] !== value;
  });
  return [
    ...missing.map((ref) => `${where}: the discriminator does not map ${ref}`),
    ...wrong.map(([value]) => `${where}: the discriminator maps "${value}" to a schema of another value`),
  ];
}

/** Names of the components that are reached from these schemas. */
function namesWithin({ components }: OpenApi, schemas: readonly Schema[]): Set<string> {
  const names = new Set<string>();
  const pending: unknown[] = [...schemas];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (typeof next !== 'object' || next === null) continue;
    const { $ref } = next as Schema;
    const name = typeof $ref === 'string' ? nameOf($ref) : undefined;
    if (name !== undefined && !names.has(name)) {
      names.add(name);
      pending.push(components.schemas[name]);
    }
    pending.push(...(Object.values(next) as unknown[]));
  }
  return names;
}

const validators = new WeakMap<OpenApi, Map<string, z.ZodType>>();

function validatorOf(document: OpenApi, ref: string): z.ZodType {
  let byRef = validators.get(document);
  if (byRef === undefined) validators.set(document, (byRef = new Map<string, z.ZodType>()));
  let validator = byRef.get(ref);
  if (validator === undefined) {
    const root = { $ref: ref, components: document.components };
    const text = JSON.stringify({ $ref: root.$ref, $defs: root.components.schemas });
    const schema: unknown = JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/'));
    validator = z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
    byRef.set(ref, validator);
  }
  return validator;
}
