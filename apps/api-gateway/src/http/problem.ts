/** Errors as RFC 9457 problem details. */
import { applyDecorators } from '@nestjs/common';
import { ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';

/** The kinds of problems, by the last part of `type`. Each has one HTTP status and one title. */
export const PROBLEMS = {
  'malformed-json': { status: 400, title: 'The body is not JSON' },
  'bad-request': { status: 400, title: 'The request cannot be understood' },
  unauthenticated: { status: 401, title: 'Credentials are missing or not valid' },
  forbidden: { status: 403, title: 'Not allowed with these credentials' },
  'not-found': { status: 404, title: 'No such resource' },
  'unknown-connection': { status: 404, title: 'The client never registered' },
  'unknown-message': { status: 404, title: 'No such message is kept' },
  'method-not-allowed': { status: 405, title: 'This path does not have this method' },
  'request-timeout': { status: 408, title: 'The request did not arrive in time' },
  'client-offline': { status: 409, title: 'The client is offline' },
  conflict: { status: 409, title: 'Not possible in the present state' },
  'too-large': { status: 413, title: 'The payload is too large' },
  'uri-too-long': { status: 414, title: 'The path is too long' },
  'unsupported-media-type': { status: 415, title: 'The body must be application/json' },
  'expectation-failed': { status: 417, title: 'The expectation cannot be met' },
  invalid: { status: 422, title: 'The request is not valid' },
  'idempotency-mismatch': { status: 422, title: 'The Idempotency-Key was used with another body' },
  'outbox-full': { status: 429, title: "The client's outbox is full" },
  'shard-full': { status: 429, title: 'Too many messages wait' },
  'account-full': { status: 429, title: 'Too many messages of this account or key wait' },
  'rate-limited': { status: 429, title: 'Too many requests' },
  'headers-too-large': { status: 431, title: 'The headers are too large' },
  internal: { status: 500, title: 'Something went wrong here' },
  unavailable: { status: 503, title: 'Not available at the moment' },
  'storage-full': { status: 503, title: 'Redis has no room for new messages' },
} as const satisfies Record<string, { status: number; title: string }>;
export type ProblemKind = keyof typeof PROBLEMS;

/** The error of one member of the body, named by a JSON pointer, or of one parameter. */
export type FieldProblem = { detail: string } & ({ pointer: string } | { in: ParameterPlace; name: string });
export type ParameterPlace = 'path' | 'query' | 'header';

/** Thrown by handlers; the filter turns it into a response. */
export class Problem extends Error {
  override readonly name = 'Problem';

  constructor(
    readonly kind: ProblemKind,
    readonly detail: string,
    readonly more: {
      errors?: FieldProblem[];
      retryAfterSeconds?: number;
      /** For the header `WWW-Authenticate`. */
      challenge?: string;
      /** For the header `RateLimit`. */
      rateLimit?: string;
      /** For the header `Allow`. */
      allow?: readonly string[];
      /** For the header `Accept-Encoding`: how a body may be encoded. */
      acceptEncoding?: string;
      /** Whether the connection is closed after this response. */
      close?: boolean;
      /** The cause; logged, never shown. */
      cause?: unknown;
    } = {},
  ) {
    super(detail, { cause: more.cause });
  }

  get status(): number {
    return PROBLEMS[this.kind].status;
  }

  /** The members that a response and an item of a batch have in common. */
  get body(): { type: string; title: string; status: number; detail: string; errors?: FieldProblem[] } {
    const { kind, status, detail } = this;
    const { errors } = this.more;
    return {
      type: `urn:cloud-connector:problem:${kind}`,
      title: PROBLEMS[kind].title,
      status,
      detail,
      ...(errors && { errors }),
    };
  }
}

export function unknownConnection(clientId: string): Problem {
  return new Problem(
    'unknown-connection',
    `no client with the id "${clientId}" is known: it has never shaken hands, or it was forgotten`,
  );
}

/** `detail`: what is wrong with the value of the header. */
export function wrongHeader(name: string, detail: string): Problem {
  return new Problem('invalid', `${name} ${detail}`, { errors: [{ in: 'header', name, detail }] });
}

const PlaceValue = z
  .enum(['path', 'query', 'header'])
  .meta({ id: 'ParameterPlace', description: 'Where a parameter stands.' });

const FieldError = z
  .object({
    pointer: z.string().optional().meta({ description: 'JSON pointer to a member of the body.' }),
    in: PlaceValue.optional().meta({ description: 'Where the parameter stands.' }),
    name: z.string().optional().meta({ description: 'Name of the parameter.' }),
    detail: z.string().meta({ description: 'What is wrong with it.' }),
  })
  .meta({ id: 'FieldError', description: 'What is wrong with one member of the body, or with one parameter.' });

export const ProblemBody = z
  .object({
    type: z.string().meta({
      description: 'The kind of problem: it stays the same when the texts change.',
      example: 'urn:cloud-connector:problem:unknown-connection',
    }),
    title: z.string().meta({ description: 'The kind of problem, for people.' }),
    status: z.int().meta({ description: 'The HTTP status.' }),
    detail: z.string().meta({ description: 'What went wrong with this request, for people.' }),
    instance: z.string().meta({ description: 'The path of the request.' }),
    request_id: z.string().meta({ description: 'The header `X-Request-Id`; logs have it too.' }),
    errors: z.array(FieldError).optional().meta({ description: 'Each member and parameter that is wrong.' }),
  })
  .meta({ id: 'Problem', description: 'Why a request has failed: problem details of RFC 9457.' });

/** Problems that every operation may answer with. */
const OF_EVERY_OPERATION: readonly ProblemKind[] = [
  'bad-request',
  'unauthenticated',
  'forbidden',
  'rate-limited',
  'unavailable',
  'internal',
];

/** Declares the problems of an operation in the OpenAPI document; kinds with the same status share an entry. */
export function Problems(...kinds: ProblemKind[]): MethodDecorator & ClassDecorator {
  const byStatus = new Map<number, ProblemKind[]>();
  for (const kind of [...kinds, ...OF_EVERY_OPERATION]) {
    const { status } = PROBLEMS[kind];
    byStatus.set(status, [...(byStatus.get(status) ?? []), kind]);
  }
  const challenge = { 'WWW-Authenticate': { description: 'What is asked for', schema: { type: 'string' as const } } };
  const retryAfter = { 'Retry-After': { description: 'Seconds to wait', schema: { type: 'integer' as const } } };
  return applyDecorators(
    ...Array.from(byStatus, ([status, kinds]) =>
      ApiResponse({
        status,
        description: kinds.map((kind) => `${PROBLEMS[kind].title} (\`${kind}\`)`).join('; '),
        content: {
          'application/problem+json': {
            schema: { $ref: '#/components/schemas/Problem' },
            examples: Object.fromEntries(kinds.map((kind) => [kind, { $ref: `#/components/examples/${kind}` }])),
          },
        },
        ...(status === 429 || status === 503 ? { headers: retryAfter } : {}),
        ...(status === 401 || status === 403 ? { headers: challenge } : {}),
      }),
    ),
  );
}
