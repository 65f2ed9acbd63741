/** The credentials of this tab. sessionStorage forgets them when the tab is closed. */
const NAME = 'cloud-connector.token';

type Listener = () => void;
const listeners = new Set<Listener>();

export function currentToken(): string | undefined {
  return sessionStorage.getItem(NAME) ?? undefined;
}

export function saveToken(token: string): void {
  sessionStorage.setItem(NAME, token);
  for (const listener of listeners) listener();
}

export function forgetToken(): void {
  sessionStorage.removeItem(NAME);
  for (const listener of listeners) listener();
}

/** @returns a function that ends it */
export function onTokenChange(listener: Listener): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
