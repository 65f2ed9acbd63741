/** Limits how much each client may send: a token bucket for its messages, and one for their bytes. */
import { THROTTLE_WINDOW_MS } from '@app/registry';
import { LRUCache } from 'lru-cache';

/** Most clients whose buckets are cached; an evicted client starts with full buckets. */
const CACHED_CLIENTS = 50_000;

/** The burst in bytes, in seconds of the byte rate. With the defaults it is a quarter of a shard's mailbox. */
const BYTES_BURST_SECONDS = 4;

/** `throttled`: over the limit, so that a notice is stored instead. `throttled-again`: an earlier notice covers it. */
export type Verdict = 'allowed' | 'throttled' | 'throttled-again';

export interface ClientLimits {
  /** Messages a second that a client may send in the long run. */
  rate: number;
  /** Messages that a client may send at once after a pause. */
  burst: number;
  /** Bytes a second that a client may send in the long run. */
  bytesRate: number;
  /** Bytes of the largest message that is stored; a larger message is charged as this one. */
  largest: number;
}

interface Bucket {
  tokens: number;
  bytes: number;
  filledAt: number;
  /** End of the window that the last notice covers. */
  noticedUntil: number;
}

export class ClientRateLimiter {
  private readonly buckets = new LRUCache<string, Bucket>({ max: CACHED_CLIENTS });
  /** Bytes that a client may send at once after a pause: at least the largest message. */
  readonly bytesBurst: number;

  constructor(private readonly limits: ClientLimits) {
    this.bytesBurst = Math.max(BYTES_BURST_SECONDS * limits.bytesRate, limits.largest);
  }

  /** Charges one message to the client's buckets. `now`: milliseconds of a clock that never goes back. */
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
