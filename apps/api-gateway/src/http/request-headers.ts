/** Parameter decorators for request headers. */
import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { preferredWait } from './preference.js';
import { wrongHeader } from './problem.js';

/** The id of the request; it is logged and sent back. */
export const RequestId = createParamDecorator(
  (_: unknown, context: ExecutionContext): string => context.switchToHttp().getRequest<FastifyRequest>().id,
);

/** The `Idempotency-Key` header, undefined if it is absent. */
export const IdempotencyKey = createParamDecorator((_: unknown, context: ExecutionContext): string | undefined => {
  const key = context.switchToHttp().getRequest<FastifyRequest>().headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && key.length >= 1 && key.length <= 128) return key;
  throw wrongHeader('Idempotency-Key', 'must be 1 to 128 characters');
});

/** The seconds of `Prefer: wait=N`; undefined if the caller does not ask for a wait. */
export const PreferredWait = createParamDecorator((_: unknown, context: ExecutionContext): number | undefined => {
  const { prefer } = context.switchToHttp().getRequest<FastifyRequest>().headers;
  return preferredWait(Array.isArray(prefer) ? prefer.join(', ') : prefer);
});

/** The `Last-Event-ID` header, undefined if it is absent or empty. */
export const LastEventId = createParamDecorator((_: unknown, context: ExecutionContext): string | undefined => {
  const id = context.switchToHttp().getRequest<FastifyRequest>().headers['last-event-id'];
  return typeof id === 'string' && id !== '' ? id : undefined;
});
