/**
 * The audit log: one line for each thing an operator does or tries to do, with who, what and how it ended. Written
 * when the handler has ended, whether or not the caller still waits for the answer, and at every log level but `silent`.
 */
import { Inject, Injectable, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { LOGGER, type Logger } from '@app/platform';
import type { FastifyRequest } from 'fastify';
import { tap, type Observable } from 'rxjs';
import { Problem } from '../http/problem.js';

@Injectable()
export class AuditInterceptor implements NestInterceptor {
  private readonly log: Logger;

  constructor(@Inject(LOGGER) logger: Logger) {
    this.log = logger.level === 'silent' ? logger : logger.child({ audit: true }, { level: 'info' });
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const request = context.switchToHttp().getRequest<FastifyRequest>();
    const { access } = request.routeOptions.config;
    if (access?.door !== 'api' || access.act === undefined) return next.handle();
    const { act } = access;
    const about = {
      request_id: request.id,
      caller: request.caller?.id,
      account: request.caller?.account,
      address: request.ip,
      ...(request.params as Record<string, string>),
    };
    return next.handle().pipe(
      tap({
        complete: () => this.log.info({ ...about, body: request.body ?? undefined, outcome: 'done' }, act),
        error: (error: unknown) => this.log.info({ ...about, outcome: outcomeOf(error) }, act),
      }),
    );
  }
}

function outcomeOf(error: unknown): string {
  return error instanceof Problem ? error.kind : 'failed';
}
