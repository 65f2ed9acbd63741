/**
 * Bounds the bytes of events that the subscribers of a gateway have not taken. At most half of `EVENT_BUFFER_TOTAL` is reserved
 * for the pages of subscribers that catch up: each subscriber may hold one page at any time, and a subscriber for which there is
 * no page is not admitted. The rest is for the queues of subscribers that follow the feed.
 */
import { gauge } from '@app/platform';

const buffered = gauge('event_buffered_bytes', 'Bytes of events that subscribers have not taken.');

/** Size of the page of a subscriber that catches up, in bytes. */
const PAGE_BYTES = { most: 65_536, least: 4096 } as const;

export interface BufferLimits {
  /** Most subscribers at the same time. */
  subscribers: number;
  /** Most bytes that are buffered for one subscriber. */
  bufferBytes: number;
  /** The same for all subscribers together. */
  totalBufferBytes: number;
}

export class BufferedBytes {
  /** Most subscribers for which there is a page. */
  readonly maxSubscribers: number;
  /** Bytes of the page of a subscriber that catches up. */
  readonly pageBytes: number;
  /** Most bytes of one queue. */
  readonly queueBytes: number;
  private readonly maxQueued: number;
  private queued = 0;

  constructor({ subscribers, bufferBytes, totalBufferBytes }: BufferLimits) {
    const share = Math.floor(Math.min(totalBufferBytes / 2 / subscribers, bufferBytes / 2));
    this.pageBytes = Math.max(PAGE_BYTES.least, Math.min(PAGE_BYTES.most, share));
    this.maxSubscribers = Math.min(subscribers, Math.floor(totalBufferBytes / 2 / this.pageBytes));
    this.queueBytes = bufferBytes - this.pageBytes;
    this.maxQueued = totalBufferBytes - this.maxSubscribers * this.pageBytes;
  }

  /** Takes room for a queue. @returns whether there was room */
  take(bytes: number): boolean {
    if (this.queued + bytes > this.maxQueued) return false;
    this.queued += bytes;
    buffered.inc(bytes);
    return true;
  }

  free(bytes: number): void {
    this.queued -= bytes;
    buffered.dec(bytes);
  }

  /** Counts the page of a subscriber that catches up. @returns a function that ends it */
  holdPage(bytes: number): () => void {
    buffered.inc(bytes);
    return () => buffered.dec(bytes);
  }
}
