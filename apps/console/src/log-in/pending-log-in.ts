/** A log-in that was begun at the issuer. It is kept by this tab until the issuer has sent the user back, and counts once. */
const NAME = 'cloud-connector.log-in';

export interface PendingLogIn {
  verifier: string;
  state: string;
  nonce: string;
  /** The path of the view that was asked for, with its query. */
  path: string;
}

export function keepPending(pending: PendingLogIn): void {
  sessionStorage.setItem(NAME, JSON.stringify(pending));
}

export function takePending(): PendingLogIn | undefined {
  const stored = sessionStorage.getItem(NAME);
  sessionStorage.removeItem(NAME);
  return stored === null ? undefined : (JSON.parse(stored) as PendingLogIn);
}
