/** A zod schema as JSON for the OpenAPI document, for places that Nest does not describe. */
import { z } from 'zod';

export function schemaOf(type: z.ZodType, io: 'input' | 'output' = 'output'): Record<string, unknown> {
  const schema: Record<string, unknown> = { ...z.toJSONSchema(type, { target: 'openapi-3.0', io }) };
  delete schema['$schema'];
  delete schema['id'];
  return schema;
}
