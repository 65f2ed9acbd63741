/** What a shard needs of other features. They import the shard, never the other way round; the app's module connects them. */
import type { CommandMessage, CommandOutcome, VerificationReason } from '@app/registry';
import type { Grant } from '@app/sharding';
import type { KnownAccount } from '../rules/effect.js';

/** A request to verify one client. */
export interface VerificationRequest {
  clientId: string;
  /** `again`: the to-do of an earlier request came up. */
  reason: VerificationReason | 'again';
  /** The caller that waits for the outcome. */
  reply?: CommandMessage['reply'];
  /** The sweep that waits for the outcome. */
  sweep?: string;
  /** The request has no to-do: it is lost with the grant. */
  isVolatile?: boolean;
}

/** A client that is being verified. */
export interface Verification {
  /** Names the present attempt; results of other attempts are dropped. */
  readonly attempt: string | undefined;
  /** Live messages after this mailbox id take precedence over what this attempt has read. */
  readonly noted: string;
  /** An earlier read, some time before, has brought the same. */
  readonly isConfirmed: boolean;
  /** Whether the broker can prove that it retains nothing, by the last check of it. */
  readonly provesAbsence: boolean;
}

export interface VerificationResult {
  clientId: string;
  attempt: string;
  /**
   * `unproven`: nothing was read, and the broker cannot prove that it retains nothing. `unconfirmed`: it contradicts an online
   * client, and no second read has confirmed it. `stale-attempt`: the result belongs to an earlier attempt.
   */
  outcome: 'agreed' | 'corrected' | 'unproven' | 'unconfirmed' | 'superseded-by-live' | 'stale-attempt';
  answer?: CommandOutcome;
}

/** Reads what the broker retains for clients. Results come back through the mailbox. */
export interface Verifications {
  /** The clients of this shard that are being verified. */
  pendingOf(grant: Grant): ReadonlyMap<string, Verification>;
  request(grant: Grant, requests: readonly VerificationRequest[]): void;
  /** Call it after the commit: what became of the results in it. */
  complete(grant: Grant, results: readonly VerificationResult[]): Promise<void>;
  /** This process no longer owns the shard. */
  forget(grant: Grant): void;
}

/** Injection token of `Verifications`. */
export const VERIFICATION = Symbol('VERIFICATION');

/** The accounts of clients. */
export interface Accounts {
  /** What is known without waiting. */
  known(clientId: string): KnownAccount;
  /** Returns at once; the answer comes through the mailbox. */
  ask(grant: Grant, clientId: string): void;
}

/** Injection token of `Accounts`; undefined if accounts are not in use. */
export const ACCOUNTS = Symbol('ACCOUNTS');
