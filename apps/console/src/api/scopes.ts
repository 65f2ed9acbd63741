/** What a caller may do: the scopes of its key or token. */
export type Scope =
  | 'connections:read'
  | 'connections:manage'
  | 'messages:read'
  | 'messages:write'
  | 'events:read'
  | 'cluster:read'
  | 'cluster:manage';

/** The cluster belongs to no account: a caller that is bound to one does not see it, whatever its scopes are. */
export function mayUse(
  { scopes, account }: { scopes: readonly string[]; account: string | null },
  scope: Scope,
): boolean {
  if (!scope.startsWith('cluster:')) return scopes.includes(scope);
  if (account !== null) return false;
  return scopes.includes(scope) || (scope === 'cluster:read' && scopes.includes('cluster:manage'));
}
