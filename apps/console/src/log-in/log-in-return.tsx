import { useEffect, useState, type ReactNode } from 'react';
import { Trouble } from '../ui/trouble.js';
import { consoleSettings } from './oidc-settings.js';

/** Whether the issuer has just sent the user back to this page. */
const isReturn = (): boolean => {
  const query = new URLSearchParams(location.search);
  return query.has('state') && (query.has('code') || query.has('error'));
};

let finishing: Promise<void> | undefined;

/** A code counts once, so this runs once, however often React renders. */
function finish(): Promise<void> {
  return (finishing ??= (async () => {
    const [{ finishLogIn }, { oidc }] = await Promise.all([import('./oidc.js'), consoleSettings()]);
    if (oidc === null) throw new Error('this gateway has no OIDC log-in');
    history.replaceState(null, '', await finishLogIn(oidc));
  })());
}

/** Ends a log-in at an issuer before anything else is shown. */
export function LogInReturn({ children }: { children: ReactNode }): ReactNode {
  const [pending, setPending] = useState(isReturn);
  const [error, setError] = useState<Error>();
  useEffect(() => {
    if (!pending) return;
    finish().then(
      () => setPending(false),
      (cause: unknown) => setError(cause instanceof Error ? cause : new Error(String(cause))),
    );
  }, [pending]);
  if (error !== undefined) {
    return (
      <>
        <Trouble error={error} page />
        <p>
          <a href={import.meta.env.BASE_URL}>Back to the log-in</a>
        </p>
      </>
    );
  }
  return pending ? null : children;
}
