/**
 * What a caller of one version of the API could no longer do with a later one: operations, parameters, members and values that are
 * gone, and what is newly required. New members of responses, new values of their enums and new operations break nothing.
 */
import { nameOf, parametersOf, type OpenApi, type Operation, type Schema } from '../support/openapi.js';

export type Api = Pick<OpenApi, 'paths' | 'components'>;

type Content = Record<string, { schema?: Schema }>;

type Direction = 'request' | 'response';

export function breaksOf(before: Api, after: Api): string[] {
  return Object.entries(before.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, was]) => {
      const is = after.paths[path]?.[method];
      if (is === undefined) return [`${method} ${path}: is gone`];
      return new Comparison(before, after).operation(was, is).map((text) => `${was.operationId} ${text}`);
    }),
  );
}

class Comparison {
  constructor(
    private readonly before: Api,
    private readonly after: Api,
  ) {}

  operation(was: Operation, is: Operation): string[] {
    const renamed = was.operationId === is.operationId ? [] : [`is called ${is.operationId}`];
    const body = this.contents('body', was.requestBody?.content, is.requestBody?.content, 'request');
    const responses = Object.entries(was.responses).flatMap(([status, { content }]) =>
      is.responses[status] === undefined
        ? [`${status}: is gone`]
        : this.contents(status, content, is.responses[status].content, 'response'),
    );
    return [...renamed, ...this.parameters(was, is), ...body, ...responses];
  }

  private parameters(before: Operation, after: Operation): string[] {
    const [were, are] = [parametersOf(this.before, before), parametersOf(this.after, after)];
    const changed = were.flatMap((was) => {
      const is = are.find((one) => one.in === was.in && one.name === was.name);
      if (is === undefined) return [`${was.name}: is gone`];
      const demanded = is.required === true && was.required !== true ? [`${was.name}: is required`] : [];
      return [...demanded, ...this.schemas(was.name, was.schema ?? {}, is.schema ?? {}, 'request')];
    });
    const added = are.filter((is) => is.required === true && !were.some((was) => was.name === is.name));
    return [...changed, ...added.map(({ name }) => `${name}: is required`)];
  }

  private contents(where: string, were: Content = {}, are: Content = {}, direction: Direction): string[] {
    return Object.entries(were).flatMap(([type, { schema = {} }]) =>
      are[type] === undefined
        ? [`${where}: ${type} is gone`]
        : this.schemas(where, schema, are[type].schema ?? {}, direction),
    );
  }

  private schemas(where: string, former: Schema, latter: Schema, direction: Direction): string[] {
    const [was, is] = [resolved(this.before, former), resolved(this.after, latter)];
    if (was.oneOf !== undefined) return this.unions(where, was.oneOf, is.oneOf ?? [], direction);
    // A caller sends what was valid before, and gets what is valid now.
    const [given, taken] = direction === 'request' ? [was, is] : [is, was];
    const wrongTypes = typesOf(given).filter((type) => typesOf(taken).length > 0 && !typesOf(taken).includes(type));
    const untyped = typesOf(given).length === 0 && typesOf(taken).length > 0;
    return [
      ...wrongTypes.map((type) => `${where}: ${direction === 'request' ? 'takes no' : 'may be'} ${type}`),
      ...(untyped ? [`${where}: may be anything`] : []),
      ...(direction === 'request' ? limitsOf(where, was, is) : []),
      ...this.members(where, was, is, direction),
      ...(was.items && is.items ? this.schemas(`${where}[]`, was.items, is.items, direction) : []),
    ];
  }

  private members(where: string, was: Schema, is: Schema, direction: Direction): string[] {
    const [needed, need] = [new Set(was.required), new Set(is.required)];
    const demanded = [...need].filter((name) => direction === 'request' && !needed.has(name));
    const changed = Object.entries(was.properties ?? {}).flatMap(([name, schema]) => {
      const member = is.properties?.[name];
      if (member === undefined) return [`${where}.${name}: is gone`];
      const mayLack = direction === 'response' && needed.has(name) && !need.has(name);
      return [
        ...(mayLack ? [`${where}.${name}: may be absent`] : []),
        ...this.schemas(`${where}.${name}`, schema, member, direction),
      ];
    });
    return [...demanded.map((name) => `${where}.${name}: is required`), ...changed];
  }

  /** Schemas of unions are known by the value of their member `type`. */
  private unions(where: string, were: readonly Schema[], are: readonly Schema[], direction: Direction): string[] {
    const byType = new Map(are.map((schema) => [typeOf(this.after, schema), schema]));
    return were.flatMap((schema) => {
      const type = typeOf(this.before, schema);
      const is = byType.get(type);
      return is === undefined ? [`${where} ${type}: is gone`] : this.schemas(`${where} ${type}`, schema, is, direction);
    });
  }
}

/** Without references, and with null as a type. */
function resolved(api: Api, schema: Schema): Schema {
  const { $ref, anyOf } = schema;
  if ($ref !== undefined) {
    return resolved(api, api.components.schemas[nameOf($ref)] ?? {});
  }
  if (anyOf === undefined) return schema;
  const parts = anyOf.map((part) => resolved(api, part));
  const value = parts.find(({ type }) => type !== 'null') ?? {};
  return { ...value, type: parts.flatMap((part) => typesOf(part)) };
}

function typesOf({ type = [], nullable }: Schema): string[] {
  return [...(Array.isArray(type) ? type : [type]), ...(nullable === true ? ['null'] : [])];
}

function valuesOf(schema: Schema): unknown[] | undefined {
  return 'const' in schema ? [schema.const] : schema.enum;
}

function typeOf(api: Api, schema: Schema): string {
  return String(valuesOf(resolved(api, schema).properties?.['type'] ?? {})?.[0]);
}

/** Values and lengths that requests could have, and cannot any more. */
function limitsOf(where: string, was: Schema, is: Schema): string[] {
  const [values, taken] = [valuesOf(was), valuesOf(is)];
  const lost =
    taken === undefined ? [] : (values ?? ['any']).filter((value) => value !== null && !taken.includes(value));
  const narrower =
    Math.max(was.minimum ?? -Infinity, was.minLength ?? 0) < Math.max(is.minimum ?? -Infinity, is.minLength ?? 0) ||
    Math.min(was.maximum ?? Infinity, was.maxLength ?? Infinity) >
      Math.min(is.maximum ?? Infinity, is.maxLength ?? Infinity);
  return [
    ...lost.map((value) => `${where}: takes no ${String(value)}`),
    ...(narrower ? [`${where}: has narrower limits`] : []),
  ];
}
