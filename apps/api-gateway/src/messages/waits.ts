/**
 * Requests that wait until a message is final. They are in memory, and bounded. A request takes its place before its message is
 * stored or read, so that it misses nothing; in between, nothing is asked of Redis.
 */
import type { ServerResponse } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import { counter, gauge, valuesOf } from '@app/platform';
import type { FinalMessagesListener } from '@app/registry';
import type { Caller } from '../access/caller.js';
import type { CredentialsWatch } from '../access/credentials-watch.js';

export type WaitEnd = 'deadline' | 'left' | 'credentials' | 'stopping';
/** `final`: the message is to be read, since it may be final. After any other event the wait is over. */
export type WaitEvent = 'final' | WaitEnd;

const waiting = gauge('waiting_requests', 'Requests that wait for a message to be final.');
const ENDS = valuesOf<WaitEvent>({ final: true, deadline: true, left: true, credentials: true, stopping: true });
const ended = counter('waits_ended', 'Requests that have waited for a message to be final, by what ended the wait.', {
  by: ENDS,
});
const refused = counter(
  'waits_refused',
  'Requests that asked to wait for a message to be final and did not, by the limit that was reached.',
  { by: ['gateway', 'key', 'message'] },
);

const REPORTS_AT_ONCE = 100;

export interface WaitLimits {
  /** Most requests that wait at this gateway. */
  total: number;
  perCaller: number;
}

/** One request that waits. */
export class Wait {
  private isReported = false;
  private over: WaitEnd | undefined;
  private wake: (() => void) | undefined;

  constructor(
    readonly caller: Caller,
    readonly seconds: number,
  ) {}

  /** The next event; one that came before the call counts. */
  async next(): Promise<WaitEvent> {
    if (this.over === undefined && !this.isReported) await new Promise<void>((resolve) => (this.wake = resolve));
    if (this.over !== undefined) return this.over;
    this.isReported = false;
    return 'final';
  }

  report(): void {
    this.isReported = true;
    this.wake?.();
  }

  end(how: WaitEnd): void {
    this.over ??= how;
    this.wake?.();
  }
}

interface Place {
  /** The message that it waits for; undefined until that is known. */
  messageId: string | undefined;
  release(): void;
}

export class Waits implements FinalMessagesListener {
  private readonly places = new Map<Wait, Place>();
  private readonly byMessage = new Map<string, Set<Wait>>();
  private readonly byCaller = new Map<string, number>();
  private isStopped = false;

  constructor(
    private readonly limits: WaitLimits,
    private readonly credentials: CredentialsWatch,
  ) {}

  get size(): number {
    return this.places.size;
  }

  /** Takes a place; free it with `close`. @returns undefined if there is none: the request does not wait */
  begin(caller: Caller, seconds: number, response: ServerResponse): Wait | undefined {
    if (this.isStopped || response.destroyed) return undefined;
    const ofCaller = this.byCaller.get(caller.id) ?? 0;
    const reached = this.size >= this.limits.total ? 'gateway' : ofCaller >= this.limits.perCaller ? 'key' : undefined;
    if (reached !== undefined) {
      this.countRefused(reached);
      return undefined;
    }
    const wait = new Wait(caller, seconds);
    const timer = setTimeout(() => wait.end('deadline'), seconds * 1000);
    const onClose = (): void => wait.end('left');
    response.once('close', onClose);
    const endWatch = this.credentials.watch(caller, () => wait.end('credentials'));
    const release = (): void => {
      clearTimeout(timer);
      response.off('close', onClose);
      endWatch();
    };
    this.places.set(wait, { messageId: undefined, release });
    this.byCaller.set(caller.id, ofCaller + 1);
    waiting.set(this.size);
    return wait;
  }

  /** Counts a request that does not wait because of a limit. */
  countRefused(by: 'gateway' | 'key' | 'message'): void {
    refused.inc({ by });
  }

  /** From now on the wait gets the events of this message, and of no other one. */
  follow(wait: Wait, messageId: string): void {
    const place = this.places.get(wait);
    if (place === undefined) return;
    this.stopFollowing(wait, place);
    place.messageId = messageId;
    let waits = this.byMessage.get(messageId);
    if (waits === undefined) this.byMessage.set(messageId, (waits = new Set()));
    waits.add(wait);
  }

  /** Frees the place. `by`: what ended the wait; undefined if the request did not wait. */
  close(wait: Wait, by?: WaitEvent): void {
    const place = this.places.get(wait);
    if (place === undefined) return;
    place.release();
    this.stopFollowing(wait, place);
    this.places.delete(wait);
    waiting.set(this.size);
    const left = (this.byCaller.get(wait.caller.id) ?? 1) - 1;
    if (left > 0) this.byCaller.set(wait.caller.id, left);
    else this.byCaller.delete(wait.caller.id);
    if (by !== undefined) ended.inc({ by });
  }

  onFinal(messageId: string): void {
    for (const wait of this.byMessage.get(messageId) ?? []) wait.report();
  }

  /** Each report leads to a read: they are spread, so that Redis and other requests do not wait for thousands of them. */
  async onSubscribedAgain(): Promise<void> {
    const waits = [...this.places.keys()];
    for (let from = 0; from < waits.length; from += REPORTS_AT_ONCE) {
      for (const wait of waits.slice(from, from + REPORTS_AT_ONCE)) wait.report();
      await turn();
    }
  }

  /** Ends all waits; from now on none begins. */
  stop(): void {
    this.isStopped = true;
    for (const wait of this.places.keys()) wait.end('stopping');
  }

  private stopFollowing(wait: Wait, { messageId }: Place): void {
    if (messageId === undefined) return;
    const waits = this.byMessage.get(messageId);
    waits?.delete(wait);
    if (waits?.size === 0) this.byMessage.delete(messageId);
  }
}
