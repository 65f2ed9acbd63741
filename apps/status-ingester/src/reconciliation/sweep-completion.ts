/** Decides after each pass whether a sweep has read everything. Pure. */
import type { IncompleteReason } from '@app/registry';

/** One read of everything that the broker retains. */
export interface Pass {
  /** The broker sent the sentinel, which it is asked for last. */
  complete: boolean;
  /** Messages that no earlier pass brought in time, and that were retained before the sweep began. */
  fresh: number;
  /** Messages that earlier passes brought and this one did not, although nothing changed them. */
  missed: number;
  /** If there are any: messages that only a few passes brought. */
  readByFew: number;
}

export type Completion = { complete: true } | { complete: false; reason: IncompleteReason };

/** Most passes of one sweep, and most of them that are cut short and bring nothing new. */
const MOST_PASSES = 20;
const MOST_PASSES_WITHOUT_NEW = 3;

/**
 * A broker may send the sentinel before other messages, pause between them, or drop some. So a sweep has read everything
 * only if a further pass, which reached the sentinel, brought nothing new. If that pass missed messages that are known, it may
 * have missed others as well; then each message must have been brought several times.
 */
export class SweepCompletion {
  private count = 0;
  private passesWithoutNew = 0;

  /** @returns undefined if another pass is needed */
  after({ complete, fresh, missed, readByFew }: Pass): Completion | undefined {
    this.count++;
    if (complete && fresh === 0 && this.count > 1 && (missed === 0 || readByFew === 0)) return { complete: true };
    if (!complete && fresh === 0) this.passesWithoutNew++;
    if (this.passesWithoutNew >= MOST_PASSES_WITHOUT_NEW) return { complete: false, reason: 'cut-short' };
    if (this.count < MOST_PASSES) return undefined;
    return { complete: false, reason: complete ? 'more-each-time' : 'cut-short' };
  }
}
