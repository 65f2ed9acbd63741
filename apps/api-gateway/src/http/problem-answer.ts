/** A problem as an HTTP response, with or without a Fastify reply. */
import type { Problem } from './problem.js';

export interface ProblemAnswer {
  status: number;
  headers: Record<string, string>;
  body: string;
}

/** `path`: without its query, which may contain a key by mistake. */
export function answerOf(problem: Problem, path: string, requestId: string): ProblemAnswer {
  const { status, more } = problem;
  return {
    status,
    headers: {
      'content-type': 'application/problem+json; charset=utf-8',
      ...(more.retryAfterSeconds !== undefined && { 'retry-after': String(more.retryAfterSeconds) }),
      ...(more.rateLimit !== undefined && { ratelimit: more.rateLimit }),
      ...(more.challenge !== undefined && { 'www-authenticate': more.challenge }),
      ...(more.allow !== undefined && { allow: more.allow.join(', ') }),
      ...(more.acceptEncoding !== undefined && { 'accept-encoding': more.acceptEncoding }),
      ...(more.close === true && { connection: 'close' }),
    },
    body: JSON.stringify({ ...problem.body, instance: path, request_id: requestId }),
  };
}

/** The path of a request, without its query. */
export function pathOf(url: string | undefined): string {
  return url?.split('?', 1)[0] ?? '';
}
