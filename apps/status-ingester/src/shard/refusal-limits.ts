/**
 * Limits how many refusal events and dead letters one client may add to the bounded streams of its shard, so that a client
 * whose messages are all refused cannot push out those of other clients. Those above the limit are only counted.
 */
import { counter } from '@app/platform';
import { LRUCache } from 'lru-cache';

export const droppedRefusals = counter(
  'refusals_dropped',
  'Refusal events and dead letters that are only counted: their client has reached its limit.',
  { what: ['event', 'dead-letter'] },
);

/** Most clients that are cached; an evicted client starts with a full bucket. */
const CACHED_CLIENTS = 10_000;
/** Entries that a client may add at once after a pause. */
const BURST = 20;
/** Time after which a client may add another entry. */
const EVERY_MS = 60_000;

interface Bucket {
  left: number;
  filledAt: number;
}

type Buckets = LRUCache<string, Bucket>;

export class RefusalLimits {
  /** Created with the first refusal, since a cache allocates the memory of all its entries. */
  private events?: Buckets;
  private deadLetters?: Buckets;

  /** @param at epoch milliseconds @returns whether the event may be appended */
  takeEvent(clientId: string, at: number): boolean {
    return take((this.events ??= buckets()), clientId, at);
  }

  /** Gives back what `takeEvent` took: the event was not needed. */
  returnEvent(clientId: string): void {
    const bucket = this.events?.get(clientId);
    if (bucket !== undefined) bucket.left = Math.min(BURST, bucket.left + 1);
  }

  /** How many events `takeEvent` would allow. It keeps nothing of the client, since most clients are never refused. */
  eventsLeft(clientId: string, at: number): number {
    const bucket = this.events?.peek(clientId);
    return bucket === undefined ? BURST : leftOf(bucket, at);
  }

  /** @param at epoch milliseconds @returns whether the dead letter may be appended */
  takeDeadLetter(clientId: string, at: number): boolean {
    return take((this.deadLetters ??= buckets()), clientId, at);
  }
}

function buckets(): Buckets {
  return new LRUCache({ max: CACHED_CLIENTS });
}

function take(clients: Buckets, clientId: string, at: number): boolean {
  let bucket = clients.get(clientId);
  if (bucket === undefined) clients.set(clientId, (bucket = { left: BURST, filledAt: at }));
  bucket.left = leftOf(bucket, at);
  bucket.filledAt += addedTo(bucket, at) * EVERY_MS;
  if (bucket.left === 0) return false;
  bucket.left--;
  return true;
}

function leftOf(bucket: Bucket, at: number): number {
  return Math.min(BURST, bucket.left + addedTo(bucket, at));
}

function addedTo({ filledAt }: Bucket, at: number): number {
  return Math.max(0, Math.floor((at - filledAt) / EVERY_MS));
}
