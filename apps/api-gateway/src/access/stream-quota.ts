/**
 * Limits the open event streams of each caller, and ends a stream when the credentials that opened it are revoked or expire.
 */
import { Problem } from '../http/problem.js';
import type { Caller } from './caller.js';
import type { CredentialsWatch } from './credentials-watch.js';

/** A subscription that counts: its stream reports the end, and it can be ended. */
export interface LimitedSubscription {
  readonly stream: { once(event: 'close', listener: () => void): unknown };
  finish(reason: 'credentials'): void;
}

export class StreamQuota {
  private readonly taken = new Map<string, number>();

  constructor(
    private readonly perCaller: number,
    private readonly credentials: CredentialsWatch,
  ) {}

  /** Opens a subscription that counts for its caller until its stream closes. @throws Problem; what `open` throws */
  async admit<Subscription extends LimitedSubscription>(
    caller: Caller,
    open: () => Promise<Subscription>,
  ): Promise<Subscription> {
    const taken = this.taken.get(caller.id) ?? 0;
    if (taken >= this.perCaller) {
      throw new Problem('rate-limited', `these credentials have ${this.perCaller} streams open at this gateway`, {
        retryAfterSeconds: 5,
      });
    }
    this.taken.set(caller.id, taken + 1);
    let subscription: Subscription;
    try {
      subscription = await open();
    } catch (error) {
      this.free(caller);
      throw error;
    }
    const endWatch = this.credentials.watch(caller, () => subscription.finish('credentials'));
    subscription.stream.once('close', () => {
      endWatch();
      this.free(caller);
    });
    return subscription;
  }

  private free({ id }: Caller): void {
    const left = (this.taken.get(id) ?? 1) - 1;
    if (left > 0) this.taken.set(id, left);
    else this.taken.delete(id);
  }
}
