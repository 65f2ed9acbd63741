import { z } from 'zod';

/** A schema as the OpenAPI document writes it, where the frame does not do so by itself. */
export function schemaOf(type: z.ZodType, io: 'input' | 'output' = 'output'): Record<string, unknown> {
  const schema: Record<string, unknown> = { ...z.toJSONSchema(type, { target: 'openapi-3.0', io }) };
  delete schema['$schema'];
  delete schema['id'];
  return schema;
}
