/** Decides after each pass whether a sweep has read everything. Pure. */

/** One read of everything that the broker retains. */
export interface Pass {
  /** The broker sent the sentinel, which comes last. */
  complete: boolean;
  /** Reading was paused: a broker with limited queues may have dropped messages. */
  paused: boolean;
  /** Messages that no earlier pass brought. */
  fresh: number;
}

/** Most passes of one sweep, and most of them that bring nothing new. */
const MOST_PASSES = 20;
const MAX_PASSES_WITHOUT_NEW = 3;

/**
 * If the broker cut a pass short, or a pass was paused, only a pass that brings nothing new proves that nothing is missing.
 * Each pass gets further than the last one, since messages that were seen before do not pause it.
 */
export class SweepCompletion {
  private count = 0;
  private passesWithoutNew = 0;
  private mayBeIncomplete = false;

  /** @returns whether the broker presumably sent everything; undefined if another pass is needed */
  after({ complete, paused, fresh }: Pass): boolean | undefined {
    this.count++;
    if (fresh === 0) this.passesWithoutNew++;
    this.mayBeIncomplete ||= paused || !complete;
    if (complete && (!this.mayBeIncomplete || fresh === 0)) return true;
    return this.passesWithoutNew >= MAX_PASSES_WITHOUT_NEW || this.count >= MOST_PASSES ? complete : undefined;
  }
}
