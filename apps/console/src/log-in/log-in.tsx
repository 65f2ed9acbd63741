import { CloudConnector, type ProblemError } from '@cloud-connector/client';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState, type ReactNode, type SyntheticEvent } from 'react';
import { BASE } from '../api/base.js';
import { reasonOf } from '../api/reason.js';
import { saveToken } from '../api/session.js';
import { Button } from '../ui/button.js';
import styles from './log-in.module.css';
import { consoleSettings, type OidcSettings } from './oidc-settings.js';

/** `refused`: why the key of this tab was not accepted. */
export function LogIn({ refused }: { refused: ProblemError | undefined }): ReactNode {
  const [key, setKey] = useState('');
  const [failure, setFailure] = useState<string | undefined>(refused?.detail);
  const [busy, setBusy] = useState(false);
  const { data: settings } = useQuery({ queryKey: ['settings'], queryFn: consoleSettings, staleTime: Infinity });
  const queries = useQueryClient();
  // The next caller sees nothing that was read for the last one.
  useEffect(() => queries.removeQueries({ type: 'inactive' }), [queries]);

  const oidc = settings?.oidc;

  const begin = async (logIn: () => Promise<void>): Promise<void> => {
    setBusy(true);
    try {
      await logIn();
    } catch (error) {
      setFailure(reasonOf(error));
      setBusy(false);
    }
  };
  const tryKey = async (): Promise<void> => {
    const token = key.trim();
    await new CloudConnector({ baseUrl: BASE, token }).whoami();
    saveToken(token);
  };
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    void begin(tryKey);
  };

  return (
    <main className={styles.page}>
      <form className={styles.card} onSubmit={submit}>
        <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" width="40" height="40" />
        <h1>Cloud Connector</h1>
        {oidc && (
          <>
            <Button tone="accent" disabled={busy} onClick={() => void begin(() => logInAtIssuer(oidc))}>
              Log in with {new URL(oidc.issuer).host}
            </Button>
            <p className={styles.or}>or</p>
          </>
        )}
        <label className={styles.field}>
          API key
          <input
            type="password"
            name="key"
            autoComplete="off"
            spellCheck={false}
            required
            value={key}
            aria-describedby="key-help"
            onChange={(event) => setKey(event.target.value)}
          />
        </label>
        <p id="key-help" className={styles.help}>
          <code>npm run key -- --scopes all</code> makes one. This tab keeps it until you close the tab.
        </p>
        {failure !== undefined && (
          <p role="alert" className={styles.failure}>
            {failure}
          </p>
        )}
        <Button type="submit" tone={oidc ? 'plain' : 'accent'} disabled={busy || key.trim() === ''}>
          Use this key
        </Button>
      </form>
    </main>
  );
}

/** The OIDC library is loaded only by those who use it. */
async function logInAtIssuer(settings: OidcSettings): Promise<void> {
  const { redirectToIssuer } = await import('./oidc.js');
  await redirectToIssuer(settings);
}
