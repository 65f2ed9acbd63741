import { CloudConnector, ProblemError } from '@cloud-connector/client';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useMemo, useSyncExternalStore, type ReactNode } from 'react';
import { AccessContext, type Access } from '../api/access.js';
import { BASE } from '../api/base.js';
import { currentToken, forgetToken, onTokenChange } from '../api/session.js';
import { Trouble } from '../ui/trouble.js';
import { LogIn } from './log-in.js';

/** Shows its children to a caller that the gateway accepts, and the log-in to everybody else. */
export function AccessGate({ children }: { children: ReactNode }): ReactNode {
  const token = useSyncExternalStore(onTokenChange, currentToken);
  const queries = useQueryClient();
  const connector = useMemo(() => new CloudConnector({ baseUrl: BASE, token }), [token]);
  const whoami = useQuery({
    queryKey: ['whoami', token],
    queryFn: ({ signal }) => connector.whoami({ signal }),
    staleTime: Infinity,
    retry: (_failures, error) => !isRefusal(error),
    retryDelay: 2000,
  });
  const access = useMemo((): Access | undefined => {
    const caller = whoami.data;
    if (caller === undefined) return undefined;
    const logOut = (): void => {
      queries.clear();
      forgetToken();
    };
    return { connector, caller, can: (scope) => caller.scopes.includes(scope), hasKey: token !== undefined, logOut };
  }, [connector, whoami.data, token, queries]);

  // A key that is revoked later is refused by any other request.
  useEffect(
    () =>
      queries.getQueryCache().subscribe(({ type, query }) => {
        const { error } = query.state as { error: unknown };
        if (type !== 'updated' || error === null || (query.queryKey as readonly unknown[])[0] === 'whoami') return;
        if (isRefusal(error)) void queries.resetQueries({ queryKey: ['whoami'] });
      }),
    [queries],
  );

  if (isRefusal(whoami.error)) return <LogIn refused={token === undefined ? undefined : whoami.error} />;
  if (access !== undefined) return <AccessContext value={access}>{children}</AccessContext>;
  const error = whoami.error ?? whoami.failureReason;
  return error === null ? null : <Trouble error={error} page />;
}

function isRefusal(error: unknown): error is ProblemError {
  return error instanceof ProblemError && error.status === 401;
}
