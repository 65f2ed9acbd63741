/**
 * The audit log: one line for each attempt of a caller to change something, refused ones included: who, what, outcome. Lines
 * are written when the handler has ended, even if the caller is gone, and at every log level but `silent`.
 */
import type { Logger } from '@app/platform';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ProblemKind } from '../http/problem.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The problem it was answered with, if any. */
    problem: ProblemKind | null;
    /** More members of its audit line; `by item` if the handler writes a line for each item. */
    audit: Record<string, unknown> | 'by item' | null;
  }
}

/** Writes lines of the audit log; `logger` as the app logs. */
export function auditLog(logger: Logger): Logger {
  return logger.level === 'silent' ? logger : logger.child({ audit: true }, { level: 'info' });
}

/** To be called after the guard's hooks, and before any route is added. */
export function auditRequests(fastify: FastifyInstance, logger: Logger): void {
  const log = auditLog(logger);
  fastify.decorateRequest('problem', null);
  fastify.decorateRequest('audit', null);
  fastify.addHook('onSend', (request, reply, _payload, done) => {
    const { access } = request.routeOptions.config;
    if (access?.audience === 'api' && access.act !== undefined && request.audit !== 'by item') {
      const outcome = request.problem ?? (reply.statusCode < 400 ? 'done' : 'failed');
      const { params, audit } = request;
      const what = { action: access.act, outcome, status: reply.statusCode };
      log.info({ ...auditOf(request), ...(params as object), ...what, ...audit }, 'audit');
    }
    done();
  });
}

/** The caller, as members of an audit line. */
export function auditOf({ id, caller, ip }: FastifyRequest): Record<string, unknown> {
  return { request_id: id, caller: caller?.id, account: caller?.account, address: ip };
}
