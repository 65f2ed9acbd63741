/** What a client may have stored of what it sends: a token bucket for each. */
import { LRUCache } from 'lru-cache';

/** One cut tells of all that follow it within this; then the client is verified, and the next cut tells anew. */
export const CUT_WINDOW_MS = 5000;

/** Clients that a process remembers; one it has forgotten begins with a full bucket. */
const REMEMBERED = 50_000;

/** `cut`: it is over its share and is not stored, and this is to be told. `cut-again`: an earlier cut has told of it. */
export type Verdict = 'within' | 'cut' | 'cut-again';

interface Bucket {
  tokens: number;
  filledAt: number;
  /** End of the window of the last cut. */
  toldUntil: number;
}

export class ClientShares {
  private readonly buckets = new LRUCache<string, Bucket>({ max: REMEMBERED });

  constructor(
    /** Messages a second that a client may send for long. */
    readonly rate: number,
    /** Messages it may send at once, after a rest. */
    readonly burst: number,
  ) {}

  /** Takes one message of the client out of its share, at `now` in milliseconds of a clock that never goes back. */
  take(clientId: string, now: number): Verdict {
    let bucket = this.buckets.get(clientId);
    if (bucket === undefined) {
      bucket = { tokens: this.burst, filledAt: now, toldUntil: -Infinity };
      this.buckets.set(clientId, bucket);
    }
    bucket.tokens = Math.min(this.burst, bucket.tokens + ((now - bucket.filledAt) / 1000) * this.rate);
    bucket.filledAt = now;
    if (bucket.tokens >= 1) {
      bucket.tokens--;
      return 'within';
    }
    if (now < bucket.toldUntil) return 'cut-again';
    bucket.toldUntil = now + CUT_WINDOW_MS;
    return 'cut';
  }
}
