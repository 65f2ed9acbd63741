/** Who knows whose a client is. */
import type { KnownAccount } from '../rules/effect.js';

/** `unavailable`: it cannot be said now. */
export type Resolution = Exclude<KnownAccount, { kind: 'ask' }> | { kind: 'unavailable' };

export interface AccountResolver {
  /** What can be said without waiting. Never throws. */
  known(clientId: string): KnownAccount;
  /** Asks whoever must be asked. Never rejects. */
  resolve(clientId: string): Promise<Resolution>;
  close(): Promise<void>;
}

/** An account as callers are bound to it: 1 to 256 characters, none of them a control character. */
// eslint-disable-next-line no-control-regex -- these are what it keeps out
export const ACCOUNT = /^[^\u0000-\u001f\u007f]{1,256}$/;
