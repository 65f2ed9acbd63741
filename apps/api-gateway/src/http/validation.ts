/** Validates bodies and parameters with their zod schemas. A problem names each wrong member and what is expected. */
import { StandardSchemaValidationPipe, type ArgumentMetadata } from '@nestjs/common';
import { clientIdProblem } from '@app/protocol';
import { z } from 'zod';
import { pointerPart } from './pointer.js';
import { Problem, type FieldProblem, type ParameterPlace } from './problem.js';

type Issue = Parameters<
  NonNullable<NonNullable<ConstructorParameters<typeof StandardSchemaValidationPipe>[0]>['exceptionFactory']>
>[0][number];

/** The part of the request that a value is from. `name`: of one parameter; undefined for a whole query. */
type Place = { in: ParameterPlace; name?: string | undefined } | 'body';

const PLACES: Partial<Record<ArgumentMetadata['type'], ParameterPlace>> = { param: 'path', query: 'query' };
/** Names that are shown; others are not, since a caller may have sent a key as a name. */
const SHOWABLE = /^[a-z][a-z_]{0,39}$/i;

class IssuesError extends Error {
  constructor(readonly issues: readonly Issue[]) {
    super('the value does not fit its schema');
  }
}

/** Nest's pipe removes members named `constructor` or `prototype`, which a payload may have. */
class UnalteringPipe extends StandardSchemaValidationPipe {
  protected override stripProtoKeys(): void {
    // Not needed: no body is merged into another object.
  }

  override async transform<Value>(value: Value, metadata: ArgumentMetadata): Promise<Value> {
    try {
      return await super.transform(value, metadata);
    } catch (error) {
      if (!(error instanceof IssuesError)) throw error;
      const place = PLACES[metadata.type];
      throw asProblem(error.issues, place === undefined ? 'body' : { in: place, name: metadata.data });
    }
  }
}

export function validationPipe(): StandardSchemaValidationPipe {
  return new UnalteringPipe({ exceptionFactory: (issues) => new IssuesError(issues) });
}

/** The issues of a schema as a problem that names each member or parameter. */
export function asProblem(issues: readonly Issue[], place: Place = 'body'): Problem {
  const errors = issues.flatMap((issue) => toFieldProblems(issue, place)).slice(0, 20);
  const first = errors[0];
  return new Problem('invalid', first === undefined ? 'the request is not valid' : describe(first), { errors });
}

function describe(error: FieldProblem): string {
  if ('pointer' in error) return `${error.pointer || 'body'}: ${error.detail}`;
  return `${error.in} parameter ${error.name}: ${error.detail}`;
}

function toFieldProblems(issue: Issue, place: Place): FieldProblem[] {
  const path = (issue.path ?? []).map((part) => (typeof part === 'object' ? part.key : part));
  // zod reports unknown members as one issue of their parent.
  if ('keys' in issue && Array.isArray(issue.keys)) {
    return issue.keys.map((key: unknown) => named([...path, String(key)], place, UNKNOWN[place === 'body' ? 0 : 1]));
  }
  return [named(path, place, issue.message)];
}

const UNKNOWN = [
  'is not a known member; remove it or correct its name',
  'is not a known parameter; remove it or correct its name',
] as const;

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
