/** Accounts from `ACCOUNTS_FILE`: `{"clients": {"<client id>": "<account>"}}`, read again whenever it changes. */
import { WatchedFile, type Logger } from '@app/platform';
import { z } from 'zod';
import type { KnownAccount } from '../rules/effect.js';
import { ACCOUNT, type AccountResolver, type Resolution } from './account-resolver.js';

const AccountFile = z.strictObject({ clients: z.record(z.string(), z.string().regex(ACCOUNT)) });

export class FileAccounts implements AccountResolver {
  private readonly file: WatchedFile<ReadonlyMap<string, string>>;

  /** @throws SettingsError if the file cannot be read or parsed */
  constructor(path: string, logger: Logger) {
    this.file = new WatchedFile('ACCOUNTS_FILE', path, parse, logger);
  }

  known(clientId: string): Exclude<KnownAccount, { kind: 'ask' }> {
    const account = this.file.content.get(clientId);
    return account === undefined ? { kind: 'none' } : { kind: 'account', account };
  }

  resolve(clientId: string): Promise<Resolution> {
    return Promise.resolve(this.known(clientId));
  }

  close(): Promise<void> {
    this.file.close();
    return Promise.resolve();
  }
}

/** @throws Error */
function parse(text: string): ReadonlyMap<string, string> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('is not JSON');
  }
  const outcome = AccountFile.safeParse(value);
  if (outcome.success) return new Map(Object.entries(outcome.data.clients));
  throw new Error(outcome.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
}
