/** Validation by zod schemas beside the parameters; a failure names each member and what would be right. */
import { StandardSchemaValidationPipe } from '@nestjs/common';
import { clientIdProblem } from '@app/protocol';
import { z } from 'zod';
import { Problem } from './problem.js';

type Issue = Parameters<
  NonNullable<NonNullable<ConstructorParameters<typeof StandardSchemaValidationPipe>[0]>['exceptionFactory']>
>[0][number];

export function validationPipe(): StandardSchemaValidationPipe {
  return new StandardSchemaValidationPipe({ exceptionFactory: asProblem });
}

function asProblem(issues: readonly Issue[]): Problem {
  const errors = issues.slice(0, 20).map(({ path = [], message }) => ({
    pointer: path.map((part) => `/${escape(typeof part === 'object' ? part.key : part)}`).join(''),
    detail: message,
  }));
  const first = errors[0];
  const detail = first === undefined ? 'the request is not valid' : `${first.pointer || 'body'}: ${first.detail}`;
  return new Problem('invalid', detail, { errors });
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
