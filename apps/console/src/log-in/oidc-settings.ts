/** Settings of the console that the gateway serves to everybody, before anybody is logged in. */
export interface ConsoleSettings {
  oidc: OidcSettings | null;
}

export interface OidcSettings {
  issuer: string;
  client_id: string;
  /** The scopes to ask for, separated by spaces. */
  scope: string;
}

export async function consoleSettings(): Promise<ConsoleSettings> {
  const response = await fetch(`${import.meta.env.BASE_URL}settings.json`);
  if (!response.ok) throw new Error(`the settings of the console cannot be read: ${response.status}`);
  return (await response.json()) as ConsoleSettings;
}
