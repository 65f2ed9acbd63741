/** Whether a sweep has read everything, after so many passes. Pure. */

/** What one pass was like. */
export interface Pass {
  /** The broker's last word came. */
  complete: boolean;
  /** The socket was held back: a broker whose queues are limited may have dropped something in the middle. */
  heldBack: boolean;
  /** Messages that no pass before has brought. */
  fresh: number;
}

/** Passes of one sweep; and those of them that brought nothing new. */
const MOST_PASSES = 20;
const MOST_IN_VAIN = 3;

/**
 * Where the broker cuts reads short, or the socket was held back, only a pass that brings nothing new proves that nothing
 * is missing. Each gets further than the one before, since what was seen is not held back for.
 */
export class SweepCompletion {
  private count = 0;
  private inVain = 0;
  private suspicious = false;

  /** @returns whether the broker is believed to have sent everything; undefined if it has to be read again */
  after({ complete, heldBack, fresh }: Pass): boolean | undefined {
    this.count++;
    if (fresh === 0) this.inVain++;
    this.suspicious ||= heldBack || !complete;
    if (complete && (!this.suspicious || fresh === 0)) return true;
    return this.inVain >= MOST_IN_VAIN || this.count >= MOST_PASSES ? complete : undefined;
  }
}
