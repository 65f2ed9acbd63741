/**
 * Log-in at an OIDC issuer: the authorization code flow with PKCE. The access token is kept for this tab only, and there is no
 * refresh token: when it has expired, the user logs in again.
 */
import * as oauth from 'oauth4webapi';
import { saveToken } from '../api/session.js';
import type { OidcSettings } from './oidc-settings.js';
import { keepPending, type PendingLogIn } from './pending-log-in.js';

const redirectUri = (): string => new URL(import.meta.env.BASE_URL, location.origin).href;

// eslint-disable-next-line @typescript-eslint/no-deprecated -- it is marked only so that nobody overlooks it
const overHttp = oauth.allowInsecureRequests;

/** The settings of the gateway allow http on loopback only. */
function transportOf({ issuer }: OidcSettings): { [overHttp]: boolean } {
  return { [overHttp]: new URL(issuer).protocol === 'http:' };
}

async function discover(settings: OidcSettings): Promise<oauth.AuthorizationServer> {
  const url = new URL(settings.issuer);
  try {
    return await oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url, transportOf(settings)));
  } catch (cause) {
    throw new Error(`${settings.issuer} does not say how to log in: ${textOf(cause)}`, { cause });
  }
}

/** Leaves this page. */
export async function redirectToIssuer(settings: OidcSettings): Promise<void> {
  const server = await discover(settings);
  if (server.authorization_endpoint === undefined) throw new Error(`${settings.issuer} has no authorization endpoint`);
  const pending: PendingLogIn = {
    verifier: oauth.generateRandomCodeVerifier(),
    state: oauth.generateRandomState(),
    nonce: oauth.generateRandomNonce(),
    path: location.pathname + location.search,
  };
  keepPending(pending);
  const url = new URL(server.authorization_endpoint);
  const parameters = {
    client_id: settings.client_id,
    redirect_uri: redirectUri(),
    response_type: 'code',
    scope: settings.scope,
    state: pending.state,
    nonce: pending.nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(pending.verifier),
    code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  location.assign(url);
}

/** Ends a log-in. `answer`: the address to which the issuer has sent the user back */
export async function finishLogIn(settings: OidcSettings, answer: URL, pending: PendingLogIn): Promise<void> {
  const server = await discover(settings);
  const client: oauth.Client = { client_id: settings.client_id };
  try {
    const response = await oauth.authorizationCodeGrantRequest(
      server,
      client,
      oauth.None(),
      oauth.validateAuthResponse(server, client, answer, pending.state),
      redirectUri(),
      pending.verifier,
      transportOf(settings),
    );
    const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, {
      expectedNonce: pending.nonce,
    });
    saveToken(tokens.access_token);
  } catch (cause) {
    throw new Error(`the log-in at ${settings.issuer} failed: ${textOf(cause)}`, { cause });
  }
}

/** What the issuer says, if it says something. */
function textOf(error: unknown): string {
  if (error instanceof oauth.AuthorizationResponseError || error instanceof oauth.ResponseBodyError) {
    return [error.error, error.error_description].filter((part) => part !== undefined).join(': ');
  }
  return error instanceof Error ? error.message : String(error);
}
