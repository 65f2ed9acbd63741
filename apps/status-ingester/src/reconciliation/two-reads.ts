/**
 * The reads of one verification, or the passes of a sweep that brought one client. A broker may deliver a message live before it
 * retains it, so that a read brings an older text, or none. A reading that contradicts an online client counts only if a second
 * read, at least `RETAINED_LAG_MS` later, has brought the same, and no live message of the client came from `RETAINED_LAG_MS`
 * before the first read on.
 */
import type { Retained } from '@app/registry';
import { digestOf } from '../rules/retained-state.js';

interface Read {
  /** The texts may be large, so only their digest is kept. */
  digest: string;
  noted: string;
}

export class TwoReads {
  private first: Read | undefined;
  private last: Read | undefined;

  /**
   * @param noted live messages after this mailbox id take precedence over the reading
   * @returns what counts for the reading: it is confirmed if the first read has brought the same
   */
  add(retained: readonly Retained[], noted: string): { noted: string; isConfirmed: boolean } {
    const read = { digest: digestOf(JSON.stringify(retained)), noted };
    this.last = read;
    if (this.first?.digest === read.digest) return { noted: this.first.noted, isConfirmed: true };
    this.first = undefined;
    return { noted, isConfirmed: false };
  }

  /** The last reading contradicts an online client: a second one has to confirm it. */
  awaitSecond(): void {
    this.first = this.last;
  }

  /** A live message has come since: what was read before counts no more. */
  restart(): void {
    this.first = undefined;
  }
}
