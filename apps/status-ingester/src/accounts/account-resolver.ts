/** A source of the accounts of clients: a file or an HTTP endpoint. */
import type { KnownAccount } from '../rules/effect.js';

/** `unavailable`: the source could not be asked. */
export type Resolution = Exclude<KnownAccount, { kind: 'ask' }> | { kind: 'unavailable' };

export interface AccountResolver {
  /** What is known without waiting. Never throws. */
  known(clientId: string): KnownAccount;
  /** Asks the source if necessary. Never rejects. */
  resolve(clientId: string): Promise<Resolution>;
  close(): Promise<void>;
}

/** An account, as in the tokens of callers: 1 to 256 characters, none of them a control character. */
// eslint-disable-next-line no-control-regex -- excludes control characters
export const ACCOUNT = /^[^\u0000-\u001f\u007f]{1,256}$/;
