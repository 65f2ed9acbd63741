/**
 * The schemas of the OpenAPI document, made of the zod schemas: each one with an `id` is a named component, and others refer to
 * it. What would mislead readers or generators is left out: patterns beside a format, the bounds of safe integers, and
 * `additionalProperties: false` in responses, which later releases extend.
 */
import { z } from 'zod';

export type Direction = 'input' | 'output';

/** JSON Schema, as OpenAPI 3.1 has it. */
export type JsonSchema = Record<string, unknown>;

const COMPONENTS = '#/components/schemas/';

export class OpenApiSchemas {
  readonly components: Record<string, JsonSchema> = {};

  /** @returns the schema, which may be a reference to a component */
  convert(type: z.ZodType, direction: Direction): JsonSchema {
    const json = z.toJSONSchema(type, { io: direction, override: addDiscriminator });
    const { $defs: definitions = {}, ...schema } = json;
    delete schema.$schema;
    for (const [name, definition] of Object.entries(definitions)) {
      this.add(name, shown(definition, direction));
    }
    return shown(schema, direction);
  }

  private add(name: string, schema: JsonSchema): void {
    const former = this.components[name];
    if (former !== undefined && JSON.stringify(former) !== JSON.stringify(schema)) {
      throw new Error(`the schema "${name}" is used for requests and responses, and differs between them`);
    }
    this.components[name] = schema;
  }
}

/** zod knows by which member the types of a union differ, but does not write it. */
function addDiscriminator({ zodSchema, jsonSchema }: { zodSchema: unknown; jsonSchema: JsonSchema }): void {
  if (!(zodSchema instanceof z.ZodDiscriminatedUnion)) return;
  const { discriminator: propertyName, options } = zodSchema.def;
  const mapping: Record<string, string> = {};
  for (const option of options as readonly z.ZodObject[]) {
    const value: unknown = option.shape[propertyName];
    const id = z.globalRegistry.get(option)?.id;
    if (id !== undefined && value instanceof z.ZodLiteral) mapping[String(value.value)] = COMPONENTS + id;
  }
  jsonSchema['discriminator'] = { propertyName, mapping };
}

/** The schema and those in it as the document shows them. */
function shown(schema: JsonSchema, direction: Direction): JsonSchema {
  const result: JsonSchema = {};
  for (const [keyword, value] of Object.entries(schema)) {
    if (isLeftOut(keyword, value, schema, direction)) continue;
    if (keyword === '$ref') result[keyword] = String(value).replace('#/$defs/', COMPONENTS);
    else if (keyword === 'example') result['examples'] = [value];
    else result[keyword] = shownPart(keyword, value, direction);
  }
  return withTypes(result);
}

function shownPart(keyword: string, value: unknown, direction: Direction): unknown {
  const inner = (part: unknown): unknown => (isSchema(part) ? shown(part, direction) : part);
  switch (keyword) {
    case 'properties':
      return Object.fromEntries(Object.entries(value as JsonSchema).map(([name, part]) => [name, inner(part)]));
    case 'anyOf':
    case 'oneOf':
    case 'prefixItems':
      return (value as unknown[]).map(inner);
    case 'items':
    case 'additionalProperties':
      return inner(value);
    default:
      return value;
  }
}

function isLeftOut(keyword: string, value: unknown, schema: JsonSchema, direction: Direction): boolean {
  switch (keyword) {
    case 'pattern':
      return 'format' in schema;
    case 'minimum':
    case 'maximum':
      return Math.abs(Number(value)) === Number.MAX_SAFE_INTEGER;
    case 'propertyNames':
      return true;
    // Generators would demand the member of callers. The descriptions name the defaults.
    case 'default':
      return direction === 'input';
    case 'additionalProperties':
      return direction === 'output' && value === false;
    default:
      return false;
  }
}

/** `type: [string, null]` in place of a choice between a string and null. */
function withTypes(schema: JsonSchema): JsonSchema {
  const { anyOf, ...rest } = schema;
  if (!Array.isArray(anyOf) || anyOf.length !== 2) return schema;
  const [value, nothing] = anyOf as [JsonSchema, JsonSchema];
  if (nothing['type'] !== 'null' || typeof value['type'] !== 'string') return schema;
  return { ...value, ...rest, type: [value['type'], 'null'] };
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
