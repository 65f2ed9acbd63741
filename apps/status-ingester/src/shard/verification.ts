/** A request to verify one client, the verification under way, and its result. */
import type { CommandMessage, CommandOutcome, VerificationReason } from '@app/registry';

export interface VerificationRequest {
  clientId: string;
  /** `again`: its to-do came up. */
  reason: VerificationReason | 'again';
  /** Who waits for the outcome. */
  reply?: CommandMessage['reply'];
  /** A sweep that waits for it. */
  sweep?: string;
  /** No to-do stands for it: it is gone with the grant. */
  isVolatile?: boolean;
}

/** A client that is being verified. */
export interface Verification {
  readonly clientId: string;
  readonly isVolatile: boolean;
  /** Who waits for the outcome; bounded. */
  readonly replies: NonNullable<CommandMessage['reply']>[];
  readonly since: number;
  /** Names the present try; a result of another one is dropped. */
  attempt: string | undefined;
  /** The mailbox's last id before this try asked the broker. */
  noted: string;
  sweep: string | undefined;
  /** The handshake of a client that is online, if the last read did not find it. */
  missing: string | undefined;
  dueAt: number;
  tries: number;
}

export interface VerificationResult {
  clientId: string;
  attempt: string;
  /** `stale-attempt`: the result belongs to an earlier attempt. */
  outcome: 'agreed' | 'corrected' | 'superseded-by-live' | 'stale-attempt';
  answer?: CommandOutcome;
}
