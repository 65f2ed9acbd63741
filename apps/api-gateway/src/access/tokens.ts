/**
 * JSON Web Tokens of one issuer, checked against the keys it publishes. A token must be meant for this service, must
 * name its subject and its end, and be signed with a private key: shared secrets and `none` are not taken.
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
  /** Where the issuer publishes its keys. */
  jwksUrl: string;
  /** Claim that binds the caller to an account. */
  accountClaim: string;
  /** Whether a token without that claim is refused, or reaches every account. */
  accountRequired: boolean;
}

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

/** How long the issuer may take to answer, in milliseconds. */
const KEYS_TIMEOUT_MS = 3000;

/** Seconds the clocks of issuer and gateway may differ. */
const CLOCK_TOLERANCE = 5;

/** Errors that are the token's fault; every other error is the issuer's or ours. */
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

  /** @throws Problem: 401 for a token that is not good, 503 if the issuer's keys cannot be fetched. */
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
    // A claim that is there and cannot be understood never widens what the caller reaches.
    const account = Account.safeParse(claimed);
    if (!account.success) throw credentialsRefused(`the claim "${accountClaim}" must be a text of 1 to 256 characters`);
    return { ...caller, account: account.data };
  }
}

/** `scope`, a text with blanks between (RFC 8693), or `scp`, a list, as issuers write it. */
function scopesOf(payload: JWTPayload): string[] {
  const claimed: unknown = payload['scope'] ?? payload['scp'];
  if (typeof claimed === 'string') return claimed.split(' ');
  return Array.isArray(claimed) ? claimed.filter((one) => typeof one === 'string') : [];
}
