/**
 * Log-in at an OIDC issuer: the authorization code flow with PKCE. The access token is kept for this tab only, and there is no
 * refresh token: when it has expired, the user logs in again.
 */
import * as oauth from 'oauth4webapi';
import { saveToken } from '../api/session.js';
import type { OidcSettings } from './oidc-settings.js';

const PENDING = 'cloud-connector.log-in';

interface Pending {
  verifier: string;
  state: string;
  nonce: string;
  /** The path to return to. */
  path: string;
}

const redirectUri = (): string => new URL(import.meta.env.BASE_URL, location.origin).href;

async function discover({ issuer }: OidcSettings): Promise<oauth.AuthorizationServer> {
  const url = new URL(issuer);
  return oauth.processDiscoveryResponse(url, await oauth.discoveryRequest(url));
}

export async function redirectToIssuer(settings: OidcSettings): Promise<void> {
  const server = await discover(settings);
  if (server.authorization_endpoint === undefined) throw new Error(`${settings.issuer} has no authorization endpoint`);
  const pending: Pending = {
    verifier: oauth.generateRandomCodeVerifier(),
    state: oauth.generateRandomState(),
    nonce: oauth.generateRandomNonce(),
    path: location.pathname + location.search,
  };
  sessionStorage.setItem(PENDING, JSON.stringify(pending));
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

/** Ends a log-in after the issuer has sent the user back. @returns the path to return to */
export async function finishLogIn(settings: OidcSettings): Promise<string> {
  const stored = sessionStorage.getItem(PENDING);
  sessionStorage.removeItem(PENDING);
  if (stored === null) throw new Error('this tab has begun no log-in');
  const pending = JSON.parse(stored) as Pending;
  const server = await discover(settings);
  const client: oauth.Client = { client_id: settings.client_id };
  const answer = oauth.validateAuthResponse(server, client, new URL(location.href), pending.state);
  const response = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    oauth.None(),
    answer,
    redirectUri(),
    pending.verifier,
  );
  const tokens = await oauth.processAuthorizationCodeResponse(server, client, response, {
    expectedNonce: pending.nonce,
  });
  saveToken(tokens.access_token);
  return pending.path;
}
