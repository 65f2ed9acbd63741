/**
 * Bounds the bytes of request bodies in process, in total and for each caller. A body counts from before its first byte is read
 * until its request has been answered: its text, its parsed form and what is sent to Redis take several times as much memory.
 */
import { counter, gauge } from '@app/platform';
import { Problem } from './problem.js';

const inProcess = gauge('body_bytes_in_process', 'Bytes of request bodies that are being read or processed.');
const refused = counter(
  'bodies_refused',
  'Requests refused since too many bytes of bodies were in process, by which limit was reached.',
  {
    by: ['key', 'total'],
  },
);

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

  /** A reservation for one body, of 0 bytes at first. */
  open(caller: string): BodyReservation {
    return new BodyReservation(this, caller);
  }

  /** @throws Problem */
  take(caller: string, bytes: number): void {
    const ofCaller = (this.byCaller.get(caller) ?? 0) + bytes;
    if (ofCaller > this.limits.perCaller) {
      refused.inc({ by: 'key' });
      const detail = `the bodies of these credentials in process would exceed BODY_BYTES_PER_KEY, ${this.limits.perCaller} bytes`;
      throw new Problem('rate-limited', `${detail}; send fewer at the same time`, { retryAfterSeconds: 1 });
    }
    if (this.total + bytes > this.limits.total) {
      refused.inc({ by: 'total' });
      throw new Problem('unavailable', 'too many request bodies are in process at this gateway; nothing was stored', {
        retryAfterSeconds: 1,
      });
    }
    this.byCaller.set(caller, ofCaller);
    this.add(bytes);
  }

  release(caller: string, bytes: number): void {
    const left = (this.byCaller.get(caller) ?? 0) - bytes;
    if (left > 0) this.byCaller.set(caller, left);
    else this.byCaller.delete(caller);
    this.add(-bytes);
  }

  private add(bytes: number): void {
    this.total += bytes;
    inProcess.set(this.total);
  }
}

/** The bytes that one body has reserved of the budget. */
export class BodyReservation {
  private reserved = 0;

  constructor(
    private readonly budget: BodyBudget,
    private readonly caller: string,
  ) {}

  get bytes(): number {
    return this.reserved;
  }

  /** Reserves at least so many bytes. @throws Problem */
  growTo(bytes: number): void {
    if (bytes <= this.reserved) return;
    this.budget.take(this.caller, bytes - this.reserved);
    this.reserved = bytes;
  }

  /** Releases all bytes; may be called again. */
  release(): void {
    if (this.reserved > 0) this.budget.release(this.caller, this.reserved);
    this.reserved = 0;
  }
}
