/** Validates bodies and parameters with their zod schemas. A problem names each wrong member and what is expected. */
import type { ArgumentMetadata, PipeTransform } from '@nestjs/common';
import { clientIdProblem, issueTexts } from '@app/protocol';
import { z } from 'zod';
import { pointerPart } from './pointer.js';
import { Problem, type FieldProblem, type ParameterPlace } from './problem.js';

/** The part of the request that a value is from. `name`: of one parameter; undefined for a whole query. */
type Place = { in: ParameterPlace; name?: string | undefined } | 'body';

const PLACES: Partial<Record<ArgumentMetadata['type'], ParameterPlace>> = { param: 'path', query: 'query' };
/** Names that are shown; others are not, since a caller may have sent a key as a name. */
const SHOWABLE = /^[a-z][a-z_]{0,39}$/i;
/** Most errors of one problem. */
const MOST_ERRORS = 20;

const TEXTS = { body: issueTexts(false), query: issueTexts(true) };

/** Nest's own pipe removes members named `constructor` or `prototype`, which a payload may have, and has other texts. */
class SchemaPipe implements PipeTransform {
  transform(value: unknown, { type, data, schema }: ArgumentMetadata): unknown {
    if (schema === undefined) return value;
    if (!(schema instanceof z.ZodType)) throw new Error('a schema of the API is not one of zod');
    const place = PLACES[type];
    return readInput(schema, value, place === undefined ? 'body' : { in: place, name: data });
  }
}

export function validationPipe(): PipeTransform {
  return new SchemaPipe();
}

/** The value as its schema reads it. @throws Problem that names each wrong member or parameter */
export function readInput<Value>(schema: z.ZodType<Value>, value: unknown, place: Place = 'body'): Value {
  const inQuery = place !== 'body' && place.in === 'query';
  const { data, error } = schema.safeParse(value, { error: inQuery ? TEXTS.query : TEXTS.body });
  if (error !== undefined) throw asProblem(error.issues, place);
  return data;
}

function asProblem(issues: readonly z.core.$ZodIssue[], place: Place): Problem {
  const errors = new Map<string, FieldProblem>();
  for (const error of issues.flatMap((issue) => toFieldProblems(issue, place))) {
    const name = 'pointer' in error ? error.pointer : error.name;
    // The first one of a member says enough: a blank text is often too short, too.
    if (!errors.has(name) && errors.size < MOST_ERRORS) errors.set(name, error);
  }
  const [first] = errors.values();
  const detail = first === undefined ? 'the request is not valid' : describe(first);
  return new Problem('invalid', detail, { errors: [...errors.values()] });
}

function describe(error: FieldProblem): string {
  if ('pointer' in error) return `${error.pointer || 'body'}: ${error.detail}`;
  return `${error.in} parameter ${error.name}: ${error.detail}`;
}

function toFieldProblems(issue: z.core.$ZodIssue, place: Place): FieldProblem[] {
  // zod reports unknown members as one issue of their parent.
  if (issue.code !== 'unrecognized_keys') return [named(issue.path, place, issue.message)];
  return issue.keys.map((key) => named([...issue.path, key], place, issue.message));
}

function named(path: readonly PropertyKey[], place: Place, detail: string): FieldProblem {
  if (place === 'body') return { pointer: path.map((part) => `/${pointerPart(part)}`).join(''), detail };
  const name = place.name ?? String(path[0] ?? '');
  return { in: place.in, name: SHOWABLE.test(name) ? name : '', detail };
}

/** A moment; in a query, a `+` that is not escaped is a space. */
export const TimestampParam = z.iso.datetime({
  offset: true,
  error: 'must be an RFC 3339 timestamp such as 2026-11-30T06:00:00Z; write the "+" of an offset as %2B',
});

/** A client id: one MQTT topic level of 1 to 256 bytes in UTF-8. */
export const ClientIdParam = z
  .string()
  .superRefine((id, ctx) => {
    const problem = clientIdProblem(id);
    if (problem !== undefined) ctx.addIssue({ code: 'custom', message: problem });
  })
  .meta({
    description:
      'Id of the client: 1 to 256 bytes of UTF-8, without `/`, `+`, `#` and control characters; not `.`, `..` or `summary`.',
    ...{ minLength: 1, maxLength: 256, pattern: '^[^/+#\\u0000-\\u001F\\u007F-\\u009F]+$', example: 'device-0001' },
  });

export const MessageIdParam = z
  .uuid({ error: 'must be a UUID' })
  .toLowerCase()
  .meta({ description: 'Id of the message.', example: '019362c8-4b1e-7cc3-9d2a-6f1f3e5a7b90' });
