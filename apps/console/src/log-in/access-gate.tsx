import { CloudConnector, ProblemError } from '@cloud-connector/client';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useMemo, useSyncExternalStore, type ReactNode } from 'react';
import { AccessContext, type Access } from '../api/access.js';
import { BASE } from '../api/base.js';
import { currentToken, forgetToken, onTokenChange } from '../api/session.js';
import { Failure } from '../ui/failure.js';
import { LogIn } from './log-in.js';

/** Shows its children to a caller that the gateway accepts, and the log-in to everybody else. */
export function AccessGate({ children }: { children: ReactNode }): ReactNode {
  const token = useSyncExternalStore(onTokenChange, currentToken);
  const queries = useQueryClient();
  const whoami = useQuery({
    queryKey: ['whoami', token],
    queryFn: ({ signal }) => new CloudConnector({ baseUrl: BASE, token }).whoami({ signal }),
    staleTime: Infinity,
    retry: (_failures, error) => !isRefusal(error),
    retryDelay: 2000,
  });
  const connector = useMemo(() => {
    // A key that is revoked later, or a token that expires, is refused by any other request: also by that of an event stream.
    const watched: typeof fetch = async (input, init) => {
      const response = await fetch(input, init);
      if (response.status === 401) void queries.resetQueries({ queryKey: ['whoami', token] });
      return response;
    };
    return new CloudConnector({ baseUrl: BASE, token, fetch: watched });
  }, [token, queries]);
  const access = useMemo((): Access | undefined => {
    const caller = whoami.data;
    if (caller === undefined) return undefined;
    const can: Access['can'] = (scope) => caller.scopes.includes(scope);
    return { connector, caller, can, hasKey: token !== undefined, logOut: forgetToken };
  }, [connector, whoami.data, token]);

  if (isRefusal(whoami.error)) return <LogIn refused={token === undefined ? undefined : whoami.error} />;
  if (access !== undefined) return <AccessContext value={access}>{children}</AccessContext>;
  const error = whoami.error ?? whoami.failureReason;
  return error === null ? null : <Failure error={error} page />;
}

function isRefusal(error: unknown): error is ProblemError {
  return error instanceof ProblemError && error.status === 401;
}
