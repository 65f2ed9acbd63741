/** The scopes of callers, and the decorator by which a handler requires one. */
import { applyDecorators } from '@nestjs/common';
import { ApiBearerAuth, ApiExtension } from '@nestjs/swagger';
import { RouteAccess } from '@app/platform';

export const SCOPES = [
  'connections:read',
  'connections:manage',
  'messages:read',
  'messages:write',
  'events:read',
  'cluster:manage',
] as const;
export type Scope = (typeof SCOPES)[number];

export function isScope(text: string): text is Scope {
  return (SCOPES as readonly string[]).includes(text);
}

/**
 * Admits callers that have the scope. `act`: name of the action in the audit log, such as `connection.forget`; every operation
 * that changes something has one.
 */
export function Requires(scope: Scope, act?: string): MethodDecorator {
  return applyDecorators(
    RouteAccess({ audience: 'api', scope, ...(act !== undefined && { act }) }),
    ApiBearerAuth('api_key'),
    ApiBearerAuth('token'),
    ApiExtension('x-required-scope', scope),
  );
}
