/**
 * The audit log: one line with caller, action and outcome for each attempt to change something, refused attempts included. A
 * line is written when the handler has ended, even if the caller has left, and at every log level except `silent`.
 */
import type { Logger } from '@app/platform';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ProblemKind } from '../http/problem.js';

declare module 'fastify' {
  interface FastifyRequest {
    /** The kind of problem in the response, if any. */
    problem: ProblemKind | null;
    /** Further members of the audit line; `by item` if the handler writes one line for each item. */
    audit: Record<string, unknown> | 'by item' | null;
  }
}

/** The logger of the audit log. `logger`: the logger of the app. */
export function auditLog(logger: Logger): Logger {
  return logger.level === 'silent' ? logger : logger.child({ audit: true }, { level: 'info' });
}

/** Call it after the hooks of the guard, and before any route is added. */
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
