/** A token issuer on loopback that publishes its key, and signs any claims. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT, exportJWK, generateKeyPair, type CryptoKey, type JWTHeaderParameters } from 'jose';

export const ISSUER = 'https://issuer.example.com/';
export const AUDIENCE = 'cloud-connector';

export interface Issuer {
  /** Settings of a gateway that accepts its tokens, also those without an account. */
  readonly settings: Record<string, string>;
  readonly publicJwk: Record<string, unknown>;
  /** A valid token, except for these claims, this header and this key. */
  sign(
    claims: Record<string, unknown>,
    header?: Partial<JWTHeaderParameters>,
    key?: CryptoKey | Uint8Array,
  ): Promise<string>;
  /** How often its keys were fetched. */
  readonly asked: () => number;
  stop(): Promise<void>;
}

export async function startIssuer(): Promise<Issuer> {
  const { publicKey, privateKey } = await generateKeyPair('RS256', { extractable: true });
  const publicJwk = { ...(await exportJWK(publicKey)), kid: 'one', alg: 'RS256', use: 'sig' };
  let asked = 0;
  const server = createServer((_request, response) => {
    asked++;
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [publicJwk] }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    settings: {
      JWT_ISSUER: ISSUER,
      JWT_AUDIENCE: AUDIENCE,
      JWT_JWKS_URL: `http://127.0.0.1:${port}/jwks`,
      JWT_ACCOUNT_REQUIRED: 'no',
    },
    publicJwk,
    asked: () => asked,
    sign: (claims, header = {}, key = privateKey) =>
      new SignJWT({
        iss: ISSUER,
        aud: AUDIENCE,
        sub: 'somebody',
        exp: Math.floor(Date.now() / 1000) + 300,
        scope: 'connections:read',
        ...claims,
      })
        .setProtectedHeader({ alg: 'RS256', kid: 'one', ...header })
        .sign(key),
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
