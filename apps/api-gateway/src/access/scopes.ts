/** The scopes of callers, and the decorator by which a handler requires one. */
import { applyDecorators } from '@nestjs/common';
import { ApiExtension, ApiSecurity } from '@nestjs/swagger';
import { RouteAccess } from '@app/platform';

export const SCOPES = [
  'connections:read',
  'connections:manage',
  'messages:read',
  'messages:write',
  'events:read',
  'cluster:read',
  'cluster:manage',
] as const;
export type Scope = (typeof SCOPES)[number];

export const SCOPE_TEXTS: Readonly<Record<Scope, string>> = {
  'connections:read': 'reads connections and counts them',
  'connections:manage': 'disconnects clients, verifies and forgets connections',
  'messages:read': 'reads messages, their answers, and what clients say of their own accord',
  'messages:write': 'sends and cancels messages',
  'events:read': 'follows events',
  'cluster:read': 'reads the state of the cluster, sweeps and dead letters',
  'cluster:manage': 'starts sweeps; contains `cluster:read`',
};

/** Scopes that are contained in another one. */
const LARGER_SCOPES: Readonly<Partial<Record<Scope, Scope>>> = { 'cluster:read': 'cluster:manage' };

/** The cluster belongs to no account: callers that are bound to an account do not see its routes. */
const CLUSTER_SCOPES: ReadonlySet<string> = new Set<Scope>(['cluster:read', 'cluster:manage']);

export function isClusterScope(scope: string | null): boolean {
  return scope !== null && CLUSTER_SCOPES.has(scope);
}

export function isScope(text: string): text is Scope {
  return (SCOPES as readonly string[]).includes(text);
}

/** Whether a caller with these scopes may use what requires `scope`. */
export function includesScope(scopes: ReadonlySet<Scope>, scope: Scope): boolean {
  const larger = LARGER_SCOPES[scope];
  return scopes.has(scope) || (larger !== undefined && scopes.has(larger));
}

/**
 * Admits callers that have the scope. `act`: name of the action in the audit log, such as `connection.forget`; every operation
 * that changes something has one.
 */
export function Requires(scope: Scope, act?: string): MethodDecorator {
  return applyDecorators(
    RouteAccess({ audience: 'api', scope, ...(act !== undefined && { act }) }),
    ...shown([scope]),
    ApiExtension('x-required-scope', scope),
  );
}

/** Admits every caller with valid credentials, whatever its scopes. */
export function RequiresNoScope(): MethodDecorator {
  return applyDecorators(RouteAccess({ audience: 'api', scope: null }), ...shown([]));
}

/** The OpenAPI document shows the scopes beside both kinds of credentials. */
function shown(scopes: Scope[]): MethodDecorator[] {
  return ['api_key', 'token'].map((scheme) => ApiSecurity(scheme, scopes));
}
