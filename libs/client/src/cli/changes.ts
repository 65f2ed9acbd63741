/** When a list has to be read again: after each change that the event stream reports, at most once a second. */
import type { CloudConnector } from '../cloud-connector.js';
import { ProblemError, UnreachableError } from '../errors.js';
import type { EventsOptions } from '../events.js';
import { pause } from '../pause.js';

/** Many changes within this time cost one read. */
const PACE_MS = 1000;

export interface Watched extends Pick<EventsOptions, 'types' | 'clientId'> {
  /** For figures without an event: they are read again after this time as well. */
  everyMs?: number;
}

/** Calls `read` when the event stream is open, after a reconnect and after changes, until the signal ends it. */
export async function afterChanges(
  connector: CloudConnector,
  { types, clientId, everyMs }: Watched,
  signal: AbortSignal,
  read: () => Promise<void>,
): Promise<void> {
  const bell = new Bell();
  const ring = (): void => bell.ring();
  signal.addEventListener('abort', ring, { once: true });
  const timer = everyMs === undefined ? undefined : setInterval(ring, everyMs);
  let failure: Error | undefined;
  const following = follow(connector, { types, clientId, signal }, ring).catch((error: unknown) => {
    failure = error instanceof Error ? error : new Error(String(error));
    ring();
  });
  try {
    for (;;) {
      await bell.next();
      if (failure !== undefined) throw failure;
      if (signal.aborted) break;
      await readOrRetry(read, ring);
      await pause(PACE_MS, signal);
    }
  } finally {
    clearInterval(timer);
    signal.removeEventListener('abort', ring);
  }
  await following;
}

async function follow(connector: CloudConnector, options: EventsOptions, ring: () => void): Promise<void> {
  const onOpen = (isOpen: boolean): void => {
    if (isOpen) ring();
  };
  const events = connector.events({ ...options, onOpen });
  while ((await events.next()).done !== true) ring();
}

/** While the service is away, the next read is tried after the pause: the stream comes back by itself. */
async function readOrRetry(read: () => Promise<void>, again: () => void): Promise<void> {
  try {
    await read();
  } catch (error) {
    const isAway =
      error instanceof UnreachableError || (error instanceof ProblemError && error.retryAfter !== undefined);
    if (!isAway) throw error;
    again();
  }
}

/** Rings that come before anybody waits count as one. */
class Bell {
  private isPending = false;
  private wake: (() => void) | undefined;

  ring(): void {
    this.isPending = true;
    this.wake?.();
  }

  async next(): Promise<void> {
    if (!this.isPending) await new Promise<void>((resolve) => (this.wake = resolve));
    this.isPending = false;
  }
}
