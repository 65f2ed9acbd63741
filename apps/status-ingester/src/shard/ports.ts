/** What a shard asks of other features. They import the shard, never the other way round; the app's module connects them. */
import type { Grant } from '@app/sharding';
import type { KnownAccount } from '../rules/effect.js';
import type { VerificationRequest, VerificationResult, Verification } from './verification.js';

/** Reads what the broker retains for clients. Results come back through the mailbox. */
export interface Verifications {
  /** What is being verified on this shard. */
  pendingOf(grant: Grant): ReadonlyMap<string, Verification>;
  /** Requests verifications. */
  request(grant: Grant, requests: readonly VerificationRequest[]): void;
  /** After the commit: what became of results. */
  complete(grant: Grant, outcomes: readonly VerificationResult[]): Promise<void>;
  /** The shard is no longer this process'. */
  forget(grant: Grant): void;
}

/** Injection token of `Verifications`. */
export const VERIFICATION = Symbol('VERIFICATION');

/** Knows, or asks, to which account a client belongs. */
export interface Accounts {
  /** What can be said without waiting. */
  known(clientId: string): KnownAccount;
  /** Returns at once; the answer comes through the mailbox. */
  ask(grant: Grant, clientId: string): void;
}

/** Injection token of `Accounts`; undefined if accounts are not in use. */
export const ACCOUNTS = Symbol('ACCOUNTS');
