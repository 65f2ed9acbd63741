/** The caller of a request. */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { SCOPES, type Scope } from './scopes.js';

export interface Caller {
  /** `key:<id of the API key>`, `token:<subject>`, or `anybody`; it is logged. */
  id: string;
  scopes: ReadonlySet<Scope>;
  /** The account that the caller is bound to; a caller without one reaches every account. */
  account?: string;
  /** When the token expires, epoch milliseconds; a key does not expire. */
  until?: number;
}

/** The caller if no credentials are required: on loopback in development. */
export const ANONYMOUS: Caller = { id: 'anybody', scopes: new Set(SCOPES) };

declare module 'fastify' {
  interface FastifyRequest {
    /** Set on every route of the API before the body is read. */
    caller: Caller | null;
  }
}

export const RequestCaller = createParamDecorator((_: unknown, context: ExecutionContext): Caller => {
  const { caller } = context.switchToHttp().getRequest<FastifyRequest>();
  if (caller === null)
    throw new Error('this route has no caller: put @Requires beside the handler that uses @RequestCaller');
  return caller;
});
