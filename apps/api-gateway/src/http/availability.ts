/** Whether the API can be used: from when the key space is known to fit until the gateway stops. */
import type { Draining } from '@app/platform';
import { Problem } from './problem.js';

export class Availability {
  private opened = false;

  constructor(private readonly draining: Draining) {}

  /** The key space fits the settings: from now on answers are right. */
  open(): void {
    this.opened = true;
  }

  /** Whether Redis and the key space have been found fit; stays so while Redis is away. */
  get wasOpened(): boolean {
    return this.opened;
  }

  /** Why the API cannot be used now: before the key space has been found fit, answers could be wrong. */
  get closed(): Problem | undefined {
    if (this.draining.started) {
      return new Problem('unavailable', 'this gateway is stopping; ask another one', {
        retryAfterSeconds: 1,
        close: true,
      });
    }
    if (this.opened) return undefined;
    return new Problem('unavailable', 'this gateway is starting, and has not read the key space yet', {
      retryAfterSeconds: 1,
    });
  }
}
