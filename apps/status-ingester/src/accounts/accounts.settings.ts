/** Settings that say who knows whose clients are. With neither file nor endpoint, accounts are not in use. */
import { duration, readableFile, secureUrl, type Logger } from '@app/platform';
import type { z } from 'zod';
import { EndpointAccounts } from './account-endpoint.js';
import { FileAccounts } from './account-file.js';
import type { AccountResolver } from './account-resolver.js';

export const accountSettings = {
  /** JSON file that says whose clients are; read again when it changes. */
  ACCOUNTS_FILE: readableFile().optional(),
  /** Endpoint that says so, one client at a time. */
  ACCOUNTS_URL: secureUrl('https://accounts.example.com/client').optional(),
  /** File with a token for that endpoint; read for each request. */
  ACCOUNTS_TOKEN_FILE: readableFile().optional(),
  /** Longest it may take to answer; it is asked twice. */
  ACCOUNTS_TIMEOUT: duration('2s', { min: '100ms', max: '30s' }),
  /** For how long its answers are remembered; that a client has no account, for 30 s at most. */
  ACCOUNTS_REMEMBERED: duration('5m', { min: '1s', max: '1d' }),
};

export type AccountSettings = z.output<z.ZodObject<typeof accountSettings>>;

/** For `superRefine`. */
export function accountSettingsFit(settings: AccountSettings, ctx: z.RefinementCtx): void {
  const { ACCOUNTS_FILE, ACCOUNTS_URL, ACCOUNTS_TOKEN_FILE } = settings;
  if (ACCOUNTS_FILE !== undefined && ACCOUNTS_URL !== undefined) {
    ctx.addIssue({ code: 'custom', path: ['ACCOUNTS_URL'], message: 'must not be set beside ACCOUNTS_FILE' });
  }
  if (ACCOUNTS_TOKEN_FILE !== undefined && ACCOUNTS_URL === undefined) {
    ctx.addIssue({ code: 'custom', path: ['ACCOUNTS_URL'], message: 'must be set where ACCOUNTS_TOKEN_FILE is' });
  }
}

/** Undefined if accounts are not in use. @throws SettingsError */
export function accountResolver(settings: AccountSettings, logger: Logger): AccountResolver | undefined {
  const { ACCOUNTS_FILE, ACCOUNTS_URL } = settings;
  if (ACCOUNTS_FILE !== undefined) return new FileAccounts(ACCOUNTS_FILE, logger);
  if (ACCOUNTS_URL === undefined) return undefined;
  return new EndpointAccounts(
    {
      url: ACCOUNTS_URL,
      tokenFile: settings.ACCOUNTS_TOKEN_FILE,
      timeoutMs: settings.ACCOUNTS_TIMEOUT,
      rememberMs: settings.ACCOUNTS_REMEMBERED,
    },
    logger,
  );
}
