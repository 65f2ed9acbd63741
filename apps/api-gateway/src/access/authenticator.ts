/** Finds the caller of a request by its credentials: an API key, which is found synchronously, or a token if an issuer is set. */
import { WatchedFile, type Logger } from '@app/platform';
import type { AccessSettings } from './access.settings.js';
import { ApiKeys } from './api-keys.js';
import type { Caller } from './caller.js';
import type { Refusal } from './leased-limit.js';
import { credentialsMissing, credentialsRefused } from './refusals.js';
import { Tokens } from './tokens.js';

/** Longer credentials are refused without a check. In characters. */
const MAX_LENGTH = 8192;

const BEARER = /^Bearer +([A-Za-z0-9._~+/=-]+) *$/i;
/** The three parts of a signed token in compact form. */
const SIGNED_TOKEN = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

export interface KnownKeys {
  find(presented: string): Caller | undefined;
  /** Whether the entry of the caller's key is unchanged. */
  isCurrent(caller: Caller): boolean;
}

export interface KnownTokens {
  /** @throws Problem */
  verify(token: string): Promise<Caller>;
}

export class Authenticator {
  constructor(
    private readonly keys: KnownKeys | undefined,
    private readonly tokens: KnownTokens | undefined,
  ) {}

  /** Undefined if the settings name neither keys nor an issuer. @throws SettingsError */
  static of(settings: AccessSettings, logger: Logger): Authenticator | undefined {
    const { API_KEYS_FILE, JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWT_JWKS_URL: jwksUrl } = settings;
    const file =
      API_KEYS_FILE === undefined
        ? undefined
        : new WatchedFile(
            'API_KEYS_FILE',
            API_KEYS_FILE,
            (text, before?: ApiKeys) => ApiKeys.parse(text, before),
            logger,
          );
    const keys = file && {
      find: (presented: string) => file.content.find(presented),
      isCurrent: (caller: Caller) => file.content.isCurrent(caller),
    };
    const tokens =
      issuer === undefined || audience === undefined || jwksUrl === undefined
        ? undefined
        : new Tokens({
            ...{ issuer, audience, jwksUrl },
            accountClaim: settings.JWT_ACCOUNT_CLAIM,
            accountRequired: settings.JWT_ACCOUNT_REQUIRED === 'yes',
          });
    return keys === undefined && tokens === undefined ? undefined : new Authenticator(keys, tokens);
  }

  /** Whether the credentials of the caller are still valid. */
  isCurrent(caller: Caller): boolean {
    if (caller.until !== undefined) return Date.now() < caller.until;
    return this.keys?.isCurrent(caller) ?? false;
  }

  /**
   * The caller of an `Authorization` header. `beforeToken` is called before a token is checked, and may refuse it.
   * @throws Problem
   */
  authenticate(header: string | undefined, beforeToken?: () => Refusal | Promise<Refusal>): Caller | Promise<Caller> {
    if (header === undefined) throw credentialsMissing();
    const presented = header.length <= MAX_LENGTH ? BEARER.exec(header)?.[1] : undefined;
    if (presented === undefined)
      throw credentialsRefused('the Authorization header must be "Bearer" and one key or token');
    const caller = this.keys?.find(presented);
    if (caller !== undefined) return caller;
    const { tokens } = this;
    if (tokens !== undefined && SIGNED_TOKEN.test(presented)) return checked(tokens, presented, beforeToken);
    throw credentialsRefused('the key is not known');
  }
}

/** @throws Problem */
async function checked(tokens: KnownTokens, token: string, before?: () => Refusal | Promise<Refusal>): Promise<Caller> {
  const refusal = await before?.();
  if (refusal !== undefined) throw refusal;
  return tokens.verify(token);
}
