/**
 * JSON Web Tokens of one issuer, checked with the keys that it publishes. A token must name this service as its audience, a
 * subject and an expiry, and must be signed with a private key: shared secrets and `none` are refused.
 */
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload } from 'jose';
import { z } from 'zod';
import { Problem } from '../http/problem.js';
import type { Caller } from './caller.js';
import { credentialsRefused } from './refusals.js';
import { isScope } from './scopes.js';

export interface TokenIssuer {
  issuer: string;
  audience: string;
  /** URL of the issuer's public keys. */
  jwksUrl: string;
  /** Claim that binds the caller to an account. */
  accountClaim: string;
  /** Whether a token without that claim is refused; otherwise it reaches every account. */
  accountRequired: boolean;
}

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

/** How long the issuer may take to answer, in milliseconds. */
const KEYS_TIMEOUT_MS = 3000;

/** How much the clocks of issuer and gateway may differ, in seconds. */
const CLOCK_TOLERANCE = 5;

/** Errors that mean that the token is invalid; any other error is a failure of the issuer or of this gateway. */
const TOKEN_FAULTS = [
  errors.JWTClaimValidationFailed,
  errors.JWTExpired,
  errors.JWTInvalid,
  errors.JWSInvalid,
  errors.JWSSignatureVerificationFailed,
  errors.JOSEAlgNotAllowed,
  errors.JOSENotSupported,
  errors.JWKSNoMatchingKey,
  errors.JWKSMultipleMatchingKeys,
];

const Subject = z.string().min(1).max(256);
const Account = z.string().min(1).max(256);

export class Tokens {
  private readonly keys: ReturnType<typeof createRemoteJWKSet>;

  constructor(private readonly from: TokenIssuer) {
    this.keys = createRemoteJWKSet(new URL(from.jwksUrl), { timeoutDuration: KEYS_TIMEOUT_MS });
  }

  /** @throws Problem: 401 if the token is invalid, 503 if the keys of the issuer cannot be fetched */
  async verify(token: string): Promise<Caller> {
    const { issuer, audience } = this.from;
    try {
      const { payload } = await jwtVerify(token, this.keys, {
        issuer,
        audience,
        algorithms: ALGORITHMS,
        requiredClaims: ['exp', 'sub'],
        clockTolerance: CLOCK_TOLERANCE,
      });
      return this.asCaller(payload);
    } catch (error) {
      if (error instanceof Problem) throw error;
      if (TOKEN_FAULTS.some((fault) => error instanceof fault)) throw credentialsRefused((error as Error).message);
      throw new Problem(
        'unavailable',
        'the keys of the token issuer (JWT_JWKS_URL) cannot be fetched, so tokens cannot be checked now; try again',
        {
          retryAfterSeconds: 5,
          cause: error,
        },
      );
    }
  }

  private asCaller(payload: JWTPayload): Caller {
    const { accountClaim, accountRequired } = this.from;
    const subject = Subject.safeParse(payload.sub);
    if (!subject.success) throw credentialsRefused('the claim "sub" must be a text of 1 to 256 characters');
    const caller = {
      id: `token:${subject.data}`,
      scopes: new Set(scopesOf(payload).filter(isScope)),
      ...(payload.exp !== undefined && { until: payload.exp * 1000 }),
    };
    const claimed: unknown = payload[accountClaim];
    if (claimed === undefined) {
      if (accountRequired) throw credentialsRefused(`the token has no claim "${accountClaim}" that names its account`);
      return caller;
    }
    // An account claim that is invalid is refused: ignoring it would give access to every account.
    const account = Account.safeParse(claimed);
    if (!account.success) throw credentialsRefused(`the claim "${accountClaim}" must be a text of 1 to 256 characters`);
    return { ...caller, account: account.data };
  }
}

/** `scope`, separated by blanks (RFC 8693), or the list `scp`, which some issuers use. */
function scopesOf(payload: JWTPayload): string[] {
  const claimed: unknown = payload['scope'] ?? payload['scp'];
  if (typeof claimed === 'string') return claimed.split(' ');
  return Array.isArray(claimed) ? claimed.filter((one) => typeof one === 'string') : [];
}
