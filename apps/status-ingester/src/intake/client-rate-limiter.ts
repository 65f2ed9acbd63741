/** What a client may have stored of what it sends: a token bucket for its messages and one for their bytes. */
import { THROTTLE_WINDOW_MS } from '@app/registry';
import { LRUCache } from 'lru-cache';

/** Clients that a process remembers; one it has forgotten begins with full buckets. */
const REMEMBERED = 50_000;

/** Seconds of its rate in bytes that a client may send at once: with the defaults, a quarter of a shard's mailbox. */
const BYTES_BURST_SECONDS = 4;

/** `cut`: it is over its share and is not stored, and this is to be told. `cut-again`: an earlier cut has told of it. */
export type Verdict = 'within' | 'cut' | 'cut-again';

export interface ShareLimits {
  /** Messages a second that a client may send for long. */
  rate: number;
  /** Messages it may send at once, after a rest. */
  burst: number;
  /** Bytes a second that a client may send for long. */
  bytesRate: number;
  /** Size of the largest message that is stored; a larger one weighs as much as this. */
  largest: number;
}

interface Bucket {
  tokens: number;
  bytes: number;
  filledAt: number;
  /** End of the window of the last cut. */
  toldUntil: number;
}

export class ClientShares {
  private readonly buckets = new LRUCache<string, Bucket>({ max: REMEMBERED });
  /** Bytes that a client may send at once, after a rest: always enough for the largest message. */
  readonly bytesBurst: number;

  constructor(private readonly limits: ShareLimits) {
    this.bytesBurst = Math.max(BYTES_BURST_SECONDS * limits.bytesRate, limits.largest);
  }

  /** Takes one message of the client out of its share, at `now` in milliseconds of a clock that never goes back. */
  take(clientId: string, size: number, now: number): Verdict {
    const { rate, burst, bytesRate, largest } = this.limits;
    let bucket = this.buckets.get(clientId);
    if (bucket === undefined) {
      bucket = { tokens: burst, bytes: this.bytesBurst, filledAt: now, toldUntil: -Infinity };
      this.buckets.set(clientId, bucket);
    }
    const seconds = (now - bucket.filledAt) / 1000;
    const bytes = Math.min(size, largest);
    bucket.tokens = Math.min(burst, bucket.tokens + seconds * rate);
    bucket.bytes = Math.min(this.bytesBurst, bucket.bytes + seconds * bytesRate);
    bucket.filledAt = now;
    if (bucket.tokens >= 1 && bucket.bytes >= bytes) {
      bucket.tokens--;
      bucket.bytes -= bytes;
      return 'within';
    }
    if (now < bucket.toldUntil) return 'cut-again';
    bucket.toldUntil = now + THROTTLE_WINDOW_MS;
    return 'cut';
  }
}
