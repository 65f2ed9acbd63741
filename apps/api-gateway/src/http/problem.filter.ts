/** Every error of every route leaves as problem+json, and is logged once. */
import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { isRedisError, type Logger } from '@app/platform';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Problem, type ProblemKind } from './problem.js';

@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const problem = asProblem(error);
    const { kind, status, detail, more, body } = problem;
    // What follows the path may be anything, a key in the wrong place included.
    const [path] = request.url.split('?');
    const about = {
      request_id: request.id,
      caller: request.caller?.id,
      address: request.ip,
      method: request.method,
      path,
      status,
      problem: kind,
      detail,
    };
    if (status >= 500) this.logger.error({ ...about, err: more.cause ?? error }, 'request failed');
    else this.logger.info(about, 'request refused');
    if (more.retryAfterSeconds !== undefined) void reply.header('retry-after', more.retryAfterSeconds);
    if (more.challenge !== undefined) void reply.header('www-authenticate', more.challenge);
    void reply
      .status(status)
      .header('content-type', 'application/problem+json; charset=utf-8')
      .send(JSON.stringify({ ...body, instance: path, request_id: request.id }));
  }
}

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  // Nest's own, and what Fastify itself refuses: a body it cannot read, a wrong media type.
  if (error instanceof HttpException) return new Problem(kindOf(error), error.message);
  if (isRedisError(error)) {
    return new Problem('unavailable', 'the registry cannot be reached; nothing was changed that was not confirmed', {
      retryAfterSeconds: 1,
    });
  }
  return new Problem('internal', 'the request could not be processed; the log has the details under this request_id');
}

function kindOf(error: HttpException): ProblemKind {
  const status = error.getStatus();
  if (status === 404) return 'not-found';
  if (status === 413) return 'too-large';
  if (status === 415) return 'unsupported-media-type';
  if (/^Body (is not valid JSON|cannot be empty)/.test(error.message)) return 'malformed-json';
  return status < 500 ? 'bad-request' : 'internal';
}
