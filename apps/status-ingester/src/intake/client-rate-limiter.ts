/** Limits how much of what a client sends is stored: a token bucket for its messages and one for their bytes. */
import { THROTTLE_WINDOW_MS } from '@app/registry';
import { LRUCache } from 'lru-cache';

/** Clients that a process remembers; one it has forgotten begins with full buckets. */
const REMEMBERED = 50_000;

/** Seconds of its rate in bytes that a client may send at once: with the defaults, a quarter of a shard's mailbox. */
const BYTES_BURST_SECONDS = 4;

/** `throttled`: over the limit, so only a notice of it is stored. `throttled-again`: an earlier notice stands for it too. */
export type Verdict = 'allowed' | 'throttled' | 'throttled-again';

export interface ClientLimits {
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
  /** End of the window for which the last notice stands. */
  noticedUntil: number;
}

export class ClientRateLimiter {
  private readonly buckets = new LRUCache<string, Bucket>({ max: REMEMBERED });
  /** Bytes that a client may send at once, after a rest: always enough for the largest message. */
  readonly bytesBurst: number;

  constructor(private readonly limits: ClientLimits) {
    this.bytesBurst = Math.max(BYTES_BURST_SECONDS * limits.bytesRate, limits.largest);
  }

  /** Takes one message out of the client's buckets, at `now` in milliseconds of a clock that never goes back. */
  take(clientId: string, size: number, now: number): Verdict {
    const { rate, burst, bytesRate, largest } = this.limits;
    let bucket = this.buckets.get(clientId);
    if (bucket === undefined) {
      bucket = { tokens: burst, bytes: this.bytesBurst, filledAt: now, noticedUntil: -Infinity };
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
      return 'allowed';
    }
    if (now < bucket.noticedUntil) return 'throttled-again';
    bucket.noticedUntil = now + THROTTLE_WINDOW_MS;
    return 'throttled';
  }
}
