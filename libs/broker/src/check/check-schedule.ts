/**
 * When the whole check of the broker is to be made again. Pure: times are passed, in milliseconds by `performance.now()`.
 *
 * - A check that found all out holds until a connection is lost: after that the broker may be another one.
 * - One that did not, because of a missing right or of a broker that is slow, is made again after some minutes, then less often.
 * - Checks do not follow one another closely, however often connections are lost.
 */
import { backoffMs } from '@app/platform';

export interface CheckTimes {
  /** Between the begins of two checks. */
  atLeastMs: number;
  /** After a check that could not find all out. */
  unknown: BackoffTimes;
  /** After a check without a result. */
  failed: BackoffTimes;
}

interface BackoffTimes {
  baseMs: number;
  capMs: number;
}

export const CHECK_TIMES: CheckTimes = {
  atLeastMs: 10_000,
  unknown: { baseMs: 240_000, capMs: 3_600_000 },
  failed: { baseMs: 1000, capMs: 10_000 },
};

/** `known`: all was found out. `unknown`: not all of it. `failed`: the check has no result. */
export type CheckOutcome = 'known' | 'unknown' | 'failed';

export class CheckSchedule {
  /** Infinity: nothing has to be found out. */
  dueAt = -Infinity;
  private begunAt = -Infinity;
  private lostAt = -Infinity;
  /** Whether what is known may be of another broker. */
  private isStale = true;
  /** Checks in a row with the last outcome. */
  private count = 0;
  private last: CheckOutcome | undefined;

  constructor(private readonly times = CHECK_TIMES) {}

  /** Whether a check is due because what is known may be of another broker. */
  isRenewalDue(now: number): boolean {
    return this.isStale && now >= this.dueAt;
  }

  /** A connection to the broker was lost. */
  lost(now: number): void {
    this.lostAt = now;
    this.isStale = true;
    this.dueAt = Math.min(this.dueAt, Math.max(now, this.begunAt + this.times.atLeastMs));
  }

  begun(now: number): void {
    this.begunAt = now;
  }

  ended(outcome: CheckOutcome, now: number): void {
    this.count = outcome === this.last ? this.count + 1 : 0;
    this.last = outcome;
    if (outcome !== 'failed') this.isStale = false;
    this.dueAt = outcome === 'known' ? Infinity : now + this.waitMs(this.times[outcome]);
    // This may have been a check of the broker before.
    if (this.lostAt >= this.begunAt) this.lost(now);
  }

  private waitMs({ baseMs, capMs }: BackoffTimes): number {
    return backoffMs(this.count, baseMs, capMs);
  }
}
