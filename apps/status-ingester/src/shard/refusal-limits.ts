/**
 * How many refusal events and dead letters a client may add to the bounded streams of its shard: so that one client
 * whose messages are all refused cannot push out what is known of the others. What is over it is counted only.
 */
import { counter } from '@app/platform';
import { LRUCache } from 'lru-cache';

export const unkept = counter(
  'refusals_unkept',
  'Refusal events and dead letters that are only counted: their client has used up its share of them.',
  { what: ['event', 'dead-letter'] },
);

/** Clients remembered; one that is forgotten begins with a full share. */
const REMEMBERED = 10_000;
/** Entries that a client may add at once, after a rest. */
const BURST = 20;
/** Then one is allowed each time this is over. */
const EVERY_MS = 60_000;

interface Share {
  left: number;
  filledAt: number;
}

type Shares = LRUCache<string, Share>;

export class RefusalLimits {
  /** Allocated with the first refusal, since a cache reserves the memory of all its entries. */
  private events?: Shares;
  private deadLetters?: Shares;

  /** @param at epoch milliseconds @returns whether the event may be appended */
  takeEvent(clientId: string, at: number): boolean {
    return take((this.events ??= shares()), clientId, at);
  }

  /** The event was not needed after all. */
  returnEvent(clientId: string): void {
    const share = this.events?.get(clientId);
    if (share !== undefined) share.left = Math.min(BURST, share.left + 1);
  }

  /** @param at epoch milliseconds @returns whether the dead letter may be appended */
  takeDeadLetter(clientId: string, at: number): boolean {
    return take((this.deadLetters ??= shares()), clientId, at);
  }
}

function shares(): Shares {
  return new LRUCache({ max: REMEMBERED });
}

function take(known: Shares, clientId: string, at: number): boolean {
  let share = known.get(clientId);
  if (share === undefined) known.set(clientId, (share = { left: BURST, filledAt: at }));
  const fill = Math.max(0, Math.floor((at - share.filledAt) / EVERY_MS));
  share.left = Math.min(BURST, share.left + fill);
  share.filledAt += fill * EVERY_MS;
  if (share.left === 0) return false;
  share.left--;
  return true;
}
