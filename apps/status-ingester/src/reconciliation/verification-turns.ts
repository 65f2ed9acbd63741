/** Chooses which of the clients that are being verified are read next. */
import type { Grant } from '@app/sharding';
import type { Verification, VerificationRequest } from '../shard/ports.js';
import type { TwoReads } from './two-reads.js';

/** A client that is being verified. */
export interface Pending extends Verification {
  readonly clientId: string;
  readonly isVolatile: boolean;
  /** The callers that wait for the outcome; bounded. */
  readonly replies: NonNullable<VerificationRequest['reply']>[];
  readonly since: number;
  readonly reads: TwoReads;
  attempt: string | undefined;
  noted: string;
  isConfirmed: boolean;
  provesAbsence: boolean;
  sweep: string | undefined;
  dueAt: number;
  tries: number;
}

export interface Shard {
  grant: Grant;
  pending: Map<string, Pending>;
  /** How many of them have no to-do. */
  volatile: number;
}

export type Due = readonly [Shard, Pending];

export class VerificationTurns {
  /** Index of the shard with which the last full batch ended. */
  private lastServed = -1;

  /**
   * @param unverifiable clients whose last read failed: they are read separately
   * @param most size of a full batch
   * @returns the batch, and when the next client is due, by `performance.now()`
   */
  take(
    shards: ReadonlyMap<number, Shard>,
    unverifiable: ReadonlySet<string>,
    most: number,
  ): { due: Due[]; nextAt: number } {
    const now = performance.now();
    const due: Due[] = [];
    let nextAt = Infinity;
    for (const shard of this.inTurn(shards)) {
      for (const verification of shard.pending.values()) {
        if (verification.dueAt > now) nextAt = Math.min(nextAt, verification.dueAt);
        else if (unverifiable.has(verification.clientId)) {
          if (due.length === 0) {
            this.lastServed = shard.grant.index;
            return { due: [[shard, verification]], nextAt: now };
          }
        } else if (due.push([shard, verification]) === most) {
          this.lastServed = shard.grant.index;
          return { due, nextAt: now };
        }
      }
    }
    return { due, nextAt };
  }

  /** The shards, beginning after the one that was served last, so that a shard with many requests does not starve others. */
  private inTurn(all: ReadonlyMap<number, Shard>): Shard[] {
    const shards = [...all.values()].sort((a, b) => a.grant.index - b.grant.index);
    const first = shards.findIndex(({ grant }) => grant.index > this.lastServed);
    return first <= 0 ? shards : [...shards.slice(first), ...shards.slice(0, first)];
  }
}
