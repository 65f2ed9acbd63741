/**
 * Bounds the bytes of request bodies in hand, in total and for each caller. A body is in hand from before its first byte is
 * read until its request has been answered: its text, its parsed form and what is sent to Redis take several times as much
 * memory.
 */
import { counter, gauge } from '@app/platform';
import { Problem } from './problem.js';

const inHand = gauge('body_bytes_in_hand', 'Bytes of request bodies that are being read or processed.');
const refused = counter('bodies_refused', 'Requests refused for the bytes of bodies in hand, by what was full.', {
  by: ['key', 'total'],
});

export interface BodyLimits {
  total: number;
  perCaller: number;
}

export class BodyBudget {
  private total = 0;
  private readonly byCaller = new Map<string, number>();

  constructor(private readonly limits: BodyLimits) {}

  get bytes(): number {
    return this.total;
  }

  /** A reservation in the budget for one body, empty at first. */
  open(caller: string): BodyReservation {
    return new BodyReservation(this, caller);
  }

  /** @throws Problem */
  take(caller: string, bytes: number): void {
    const ofCaller = (this.byCaller.get(caller) ?? 0) + bytes;
    if (ofCaller > this.limits.perCaller) {
      refused.inc({ by: 'key' });
      const detail = `the bodies that these credentials have under way here would be more than ${this.limits.perCaller} bytes`;
      throw new Problem('rate-limited', `${detail}; send fewer at once`, { retryAfterSeconds: 1 });
    }
    if (this.total + bytes > this.limits.total) {
      refused.inc({ by: 'total' });
      throw new Problem('unavailable', 'this gateway has too many bodies under way; nothing was stored', {
        retryAfterSeconds: 1,
      });
    }
    this.byCaller.set(caller, ofCaller);
    this.add(bytes);
  }

  give(caller: string, bytes: number): void {
    const left = (this.byCaller.get(caller) ?? 0) - bytes;
    if (left > 0) this.byCaller.set(caller, left);
    else this.byCaller.delete(caller);
    this.add(-bytes);
  }

  private add(bytes: number): void {
    this.total += bytes;
    inHand.set(this.total);
  }
}

/** What one body has reserved of the budget. */
export class BodyReservation {
  private held = 0;

  constructor(
    private readonly budget: BodyBudget,
    private readonly caller: string,
  ) {}

  get bytes(): number {
    return this.held;
  }

  /** Holds at least so many bytes. @throws Problem */
  growTo(bytes: number): void {
    if (bytes <= this.held) return;
    this.budget.take(this.caller, bytes - this.held);
    this.held = bytes;
  }

  /** Gives everything back; may be called again. */
  release(): void {
    if (this.held > 0) this.budget.give(this.caller, this.held);
    this.held = 0;
  }
}
