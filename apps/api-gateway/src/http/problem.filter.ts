/** Answers every error of every route with problem+json, and logs it once. */
import { Catch, HttpException, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import { RedisBusyError, RedisFullError, errorLine, isRedisError, type Logger } from '@app/platform';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { answerOf, pathOf } from './problem-answer.js';
import { Problem, type ProblemKind } from './problem.js';

@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(private readonly logger: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const request = http.getRequest<FastifyRequest>();
    const reply = http.getResponse<FastifyReply>();
    const report = healthReport(error);
    if (report === undefined) answer(asProblem(error, request.method), request, reply, this.logger, error);
    else void reply.status(503).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(report));
  }
}

/** Answers a request with a problem, and logs it. */
export function answer(
  problem: Problem,
  request: FastifyRequest,
  reply: FastifyReply,
  logger: Logger,
  cause: unknown = problem,
): void {
  const path = pathOf(request.raw.url);
  const about = {
    request_id: request.id,
    caller: request.caller?.id,
    address: request.ip,
    method: request.method,
    path,
    status: problem.status,
    problem: problem.kind,
    detail: problem.detail,
  };
  const reason = problem.more.cause ?? cause;
  if (problem.status === 500) logger.error({ ...about, err: reason }, 'request failed');
  else if (problem.status < 500) logger.info(about, 'request refused');
  // Not ready, Redis away, no room: expected, perhaps for every request. A stack would not help.
  else logger.warn({ ...about, ...(reason !== problem && { cause: errorLine(reason) }) }, 'request refused');
  request.problem = problem.kind;
  const { status, headers, body } = answerOf(problem, path, request.id);
  void reply.status(status).headers(headers).send(body);
}

/** The report of the health controller if the app is not ready: probes read its members. */
function healthReport(error: unknown): object | undefined {
  if (!(error instanceof HttpException) || error.getStatus() !== 503) return undefined;
  const response = error.getResponse();
  return typeof response === 'object' && 'details' in response ? response : undefined;
}

/** The problem for an error. The text of other errors is not shown, since it may repeat what the caller sent. */
export function asProblem(error: unknown, method?: string): Problem {
  if (error instanceof Problem) return error;
  if (isRedisError(error)) return redisProblem(error, method);
  const status = error instanceof HttpException ? error.getStatus() : statusOf(error);
  if (status !== undefined && status < 500) {
    const [kind, detail] = REFUSALS[status] ?? ['bad-request', 'the request cannot be understood'];
    return new Problem(kind, detail);
  }
  return new Problem('internal', 'the request could not be processed; the log has the details under this request_id');
}

/** Methods that change nothing. */
const READS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

function redisProblem(error: unknown, method?: string): Problem {
  const why = redisFault(error);
  const isRead = method === undefined || READS.has(method);
  const detail = isRead
    ? `${why}; ask again`
    : `${why}; it is not known whether anything was changed: read what is there now before you repeat the request`;
  return new Problem('unavailable', detail, { retryAfterSeconds: 1 });
}

/** For callers: without an address. The log names the cause. */
function redisFault(error: unknown): string {
  if (error instanceof RedisFullError) return 'Redis has no room';
  if (error instanceof RedisBusyError) return 'Redis is busy: it loads its data, or runs a long script';
  return 'Redis cannot be reached, or does not answer in time';
}

/** Problems for requests that Fastify or Nest refuses, by status. */
const REFUSALS: Readonly<Record<number, [ProblemKind, string]>> = {
  400: ['bad-request', 'the path, the headers or the body cannot be read, or the body ended too early'],
  404: ['not-found', 'this is not served here'],
  413: ['too-large', 'the body is larger than this operation takes'],
  414: ['uri-too-long', 'an id in the path is longer than any that exists'],
  415: ['unsupported-media-type', 'send the body as application/json in UTF-8'],
};

/** Errors of Fastify and of broken connections have a status. */
function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('statusCode' in error)) return undefined;
  return typeof error.statusCode === 'number' && error.statusCode >= 400 ? error.statusCode : undefined;
}
