/** Whether the API can be used: after the key space has been checked, until the gateway stops. */
import type { Draining } from '@app/platform';
import { Problem } from './problem.js';

export class Availability {
  private opened = false;

  constructor(private readonly draining: Draining) {}

  /** Call it when the key space fits the settings. */
  open(): void {
    this.opened = true;
  }

  /** Whether the key space has been checked; stays true while Redis is away. */
  get wasOpened(): boolean {
    return this.opened;
  }

  /** Why the API cannot be used now. Responses could be wrong before the key space has been checked. */
  get closed(): Problem | undefined {
    if (this.draining.started) return gatewayStops();
    if (this.opened) return undefined;
    return new Problem('unavailable', 'this gateway is starting and has not read the key space yet', {
      retryAfterSeconds: 1,
    });
  }
}

/** The problem of requests while the gateway stops. */
export function gatewayStops(): Problem {
  return new Problem('unavailable', 'this gateway is stopping; ask another one', { retryAfterSeconds: 1, close: true });
}
