import { useEffect, useState, type ReactNode } from 'react';
import { Button } from '../ui/button.js';
import { Failure } from '../ui/failure.js';
import { consoleSettings } from './oidc-settings.js';
import { takePending } from './pending-log-in.js';

/** Whether the issuer has just sent the user back to this page. */
const isReturn = (): boolean => {
  const query = new URLSearchParams(location.search);
  return (
    location.pathname === import.meta.env.BASE_URL && query.has('state') && (query.has('code') || query.has('error'))
  );
};

let finishing: Promise<void> | undefined;

/** A code counts once, so this runs once, however often React renders. */
function finish(): Promise<void> {
  return (finishing ??= (async () => {
    const answer = new URL(location.href);
    const pending = takePending();
    // The address is that of the view at once: nobody can send the code again.
    history.replaceState(null, '', pending?.path ?? import.meta.env.BASE_URL);
    if (pending === undefined) throw new Error('this tab has begun no log-in');
    const [{ finishLogIn }, { oidc }] = await Promise.all([import('./oidc.js'), consoleSettings()]);
    if (oidc === null) throw new Error('this gateway has no OIDC log-in');
    await finishLogIn(oidc, answer, pending);
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
  if (!pending) return children;
  if (error === undefined) return null;
  return (
    <>
      <Failure error={error} page />
      <p>
        <Button onClick={() => setPending(false)}>Back to the log-in</Button>
      </p>
    </>
  );
}
