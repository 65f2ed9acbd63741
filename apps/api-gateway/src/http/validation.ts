/** Validation by zod schemas beside the parameters; a failure names each member and what would be right. */
import { StandardSchemaValidationPipe } from '@nestjs/common';
import { clientIdProblem } from '@app/protocol';
import { z } from 'zod';
import { Problem, type FieldProblem } from './problem.js';

type Issue = Parameters<
  NonNullable<NonNullable<ConstructorParameters<typeof StandardSchemaValidationPipe>[0]>['exceptionFactory']>
>[0][number];

/** The frame's pipe removes members named `constructor` or `prototype` unasked; a payload is the caller's to choose. */
class UnalteringPipe extends StandardSchemaValidationPipe {
  protected override stripProtoKeys(): void {
    // Nothing of a body is ever merged into another object; Fastify refuses `__proto__` with 400.
  }
}

export function validationPipe(): StandardSchemaValidationPipe {
  return new UnalteringPipe({ exceptionFactory: asProblem });
}

/** What a schema found wrong, as a problem that names each member. */
export function asProblem(issues: readonly Issue[]): Problem {
  const errors = issues.flatMap(toFieldProblems).slice(0, 20);
  const first = errors[0];
  const detail = first === undefined ? 'the request is not valid' : `${first.pointer || 'body'}: ${first.detail}`;
  return new Problem('invalid', detail, { errors });
}

function toFieldProblems(issue: Issue): FieldProblem[] {
  const pointer = (issue.path ?? []).map((part) => `/${escape(typeof part === 'object' ? part.key : part)}`).join('');
  // zod reports members it does not know as one issue of their parent.
  if ('keys' in issue && Array.isArray(issue.keys)) {
    return issue.keys.map((key: unknown) => ({
      pointer: `${pointer}/${escape(String(key))}`,
      detail: 'is not a known member; remove it or correct its name',
    }));
  }
  return [{ pointer, detail: issue.message }];
}

function escape(part: PropertyKey): string {
  return String(part).replaceAll('~', '~0').replaceAll('/', '~1');
}

/** A client id in a path: one MQTT topic level of 1 to 256 UTF-8 bytes. */
export const ClientIdParam = z.string().superRefine((id, ctx) => {
  const problem = clientIdProblem(id);
  if (problem !== undefined) ctx.addIssue({ code: 'custom', message: `client_id ${problem}` });
});

export const MessageIdParam = z.uuid({ error: 'message_id must be a UUID' });
