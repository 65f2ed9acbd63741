/** Settings of the source of accounts. Without a file and an endpoint, accounts are not in use. */
import { duration, readableFile, section, secureUrl, type Logger } from '@app/platform';
import type { z } from 'zod';
import { EndpointAccounts } from './account-endpoint.js';
import { FileAccounts } from './account-file.js';
import type { AccountResolver } from './account-resolver.js';

export const accountSettings = section('Accounts', {
  ACCOUNTS_FILE: readableFile()
    .optional()
    .describe(
      'JSON file that says which account a client belongs to: `{"clients": {"<client id>": "<account>"}}`. It is read ' +
        'again when it changes. See [Security](security.md#accounts).',
    ),
  ACCOUNTS_URL: secureUrl('https://accounts.example.com/client')
    .optional()
    .describe(
      'Endpoint to ask instead of a file. The ingester adds `?client_id=…` and expects 200 `{"account": "…"}`, or 404.',
    ),
  ACCOUNTS_TOKEN_FILE: readableFile()
    .optional()
    .describe('File with a token for the endpoint, sent as `Authorization: Bearer`. It is read for each request.'),
  ACCOUNTS_TIMEOUT: duration('2s', { min: '100ms', max: '30s' }).describe(
    'Longest time that the endpoint may take to answer. It is asked twice, and again later.',
  ),
  ACCOUNTS_REMEMBERED: duration('5m', { min: '1s', max: '1d' }).describe(
    'How long an answer of the endpoint is cached. The answer that a client has no account is cached for at most 30 s.',
  ),
});

export type AccountSettings = z.output<z.ZodObject<typeof accountSettings>>;

/** For `superRefine`. */
export function checkAccountSettings(settings: AccountSettings, ctx: z.RefinementCtx): void {
  const { ACCOUNTS_FILE, ACCOUNTS_URL, ACCOUNTS_TOKEN_FILE } = settings;
  if (ACCOUNTS_FILE !== undefined && ACCOUNTS_URL !== undefined) {
    ctx.addIssue({
      code: 'custom',
      path: ['ACCOUNTS_URL'],
      message: 'must not be set together with ACCOUNTS_FILE: use one of them',
    });
  }
  if (ACCOUNTS_TOKEN_FILE !== undefined && ACCOUNTS_URL === undefined) {
    ctx.addIssue({ code: 'custom', path: ['ACCOUNTS_URL'], message: 'must be set if ACCOUNTS_TOKEN_FILE is set' });
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
      cacheMs: settings.ACCOUNTS_REMEMBERED,
    },
    logger,
  );
}
