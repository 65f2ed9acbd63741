/**
 * What one gateway may admit of one caller or address without Redis: the requests that it has leased of the current window and of
 * the next one. Pure: it has no clock and no I/O. All times are of the monotonic clock, in milliseconds.
 */
import type { LeasedRequests, RateLimit, WantedRequests } from '@app/registry';

/** Requests beyond the waiting ones that a first lease asks for. */
const FIRST_SPARE = 8;
/** A lease shall last for a tenth to two fifths of a window: shorter ones load Redis, longer ones are missing elsewhere. */
const SHORT = 0.1;
const LONG = 0.4;
/** Part of a window, its last, in which requests of the next window are leased. */
const END = 0.25;
/** Redis leases a quarter of what is left: of less than this nothing. */
const LEAST_LEFT = 4;

export class RequestLease {
  /** Requests of this window that may still be admitted, and those of the next window. */
  private leased = 0;
  private ahead = 0;
  /** Requests that were admitted in this window. */
  private admitted = 0;
  /** Requests of this window that nobody had leased at the last reply. */
  private left = Infinity;
  private endsAt = -Infinity;
  private spare = FIRST_SPARE;
  private askedAt = -Infinity;
  private askedAhead = false;
  /** Whether Redis leased less than was asked for, since the limit is near. */
  private wasLimited = false;

  constructor(private readonly limit: RateLimit) {}

  /** Admits a request that counts as `cost`; `ask`: Redis has to be asked first. */
  take(cost: number, now: number): 'admitted' | 'refused' | 'ask' {
    this.turn(now);
    if (cost <= this.leased) {
      this.leased -= cost;
      this.admitted += cost;
      return 'admitted';
    }
    return this.left === 0 ? 'refused' : 'ask';
  }

  /** Time until the window ends. */
  leftMs(now: number): number {
    return this.endsAt - now;
  }

  /**
   * What to ask Redis for; undefined if nothing is needed. `waiting`: costs of the requests that wait. The requests beyond them
   * are asked for before they are needed, so that later requests do not wait.
   */
  wants(waiting: number, now: number): WantedRequests | undefined {
    this.turn(now);
    const { requests, windowMs } = this.limit;
    const isOpen = now < this.endsAt;
    const needsSpare = isOpen && this.leased < this.spare / 2 && this.left >= LEAST_LEFT;
    const isEnding = isOpen && !this.askedAhead && this.leftMs(now) < END * windowMs;
    if (waiting === 0 && !needsSpare && !isEnding) return undefined;
    if (waiting > 0 || needsSpare) {
      const lasted = (now - this.askedAt) / windowMs;
      if (lasted < SHORT && !this.wasLimited)
        this.spare = Math.min(this.spare * 2, Math.max(FIRST_SPARE, Math.ceil(requests / 4)));
      else if (lasted > LONG) this.spare = Math.max(FIRST_SPARE, Math.ceil(this.spare / 2));
      this.askedAt = now;
    }
    if (isEnding) this.askedAhead = true;
    return {
      waiting: Math.max(0, waiting - this.leased),
      spare: waiting > 0 || needsSpare ? this.spare : 0,
      ahead: isEnding ? this.spare : 0,
    };
  }

  /** Takes over a reply of Redis to `wanted`. */
  renew({ leased, ahead, left, leftMs }: LeasedRequests, wanted: WantedRequests, askedAt: number, now: number): void {
    this.turn(now);
    this.wasLimited = leased < wanted.waiting + wanted.spare;
    // The window ends here no later than in Redis. After a slow reply it stays open for those that waited for it.
    const endsAt = Math.max(askedAt + leftMs, now + 1);
    if (now >= this.endsAt) this.open(endsAt);
    // The reply is of the window before: what nobody waited for lapses.
    else if (endsAt + this.limit.windowMs / 2 < this.endsAt) {
      this.leased += Math.min(leased, wanted.waiting);
      return;
    }
    this.leased += leased;
    this.ahead += ahead;
    this.left = left;
  }

  /** Redis did not reply: in this window this gateway counts by itself, and admits up to the whole limit. */
  countAlone(now: number): void {
    this.turn(now);
    if (now >= this.endsAt) this.open(now + this.limit.windowMs);
    this.leased = Math.max(0, this.limit.requests - this.admitted);
    this.left = 0;
  }

  /** Goes on to the next window if the current one has ended; without requests of it, Redis has to be asked. */
  private turn(now: number): void {
    if (now < this.endsAt) return;
    const nextEndsAt = this.endsAt + this.limit.windowMs;
    const leased = this.ahead;
    this.open(leased > 0 && now < nextEndsAt ? nextEndsAt : -Infinity);
    if (this.endsAt > now) this.leased = leased;
  }

  private open(endsAt: number): void {
    this.leased = 0;
    this.ahead = 0;
    this.admitted = 0;
    this.left = Infinity;
    this.endsAt = endsAt;
    this.askedAhead = false;
  }
}
