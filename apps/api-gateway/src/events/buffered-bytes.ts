/**
 * Bounds the bytes of events that the subscribers of a gateway have not taken. At most half of `EVENT_BUFFER_TOTAL` is for the
 * pages that subscribers read by themselves: each subscriber may have one at any time without waiting for others, and a
 * subscriber that would get no page is not admitted. The rest is for the queues behind the feed.
 */
import { gauge } from '@app/platform';

const buffered = gauge('event_buffered_bytes', 'Bytes of events that subscribers have not taken.');

/** Size of a page that a subscriber reads by itself, in bytes. */
const PAGE_BYTES = { most: 65_536, least: 4096 } as const;

export interface BufferLimits {
  /** Most subscribers at a time. */
  subscribers: number;
  /** Most bytes that are kept for a subscriber that has not taken them. */
  bufferBytes: number;
  /** The same, for all of them together. */
  totalBufferBytes: number;
}

export class BufferedBytes {
  /** Most subscribers that there is room for. */
  readonly places: number;
  /** Bytes of a page that a subscriber reads by itself. */
  readonly pageBytes: number;
  /** Most bytes of one queue. */
  readonly queueBytes: number;
  private readonly most: number;
  private queued = 0;

  constructor({ subscribers, bufferBytes, totalBufferBytes }: BufferLimits) {
    const share = Math.floor(Math.min(totalBufferBytes / 2 / subscribers, bufferBytes / 2));
    this.pageBytes = Math.max(PAGE_BYTES.least, Math.min(PAGE_BYTES.most, share));
    this.places = Math.min(subscribers, Math.floor(totalBufferBytes / 2 / this.pageBytes));
    this.queueBytes = bufferBytes - this.pageBytes;
    this.most = totalBufferBytes - this.places * this.pageBytes;
  }

  /** For a queue. @returns whether there was room */
  take(bytes: number): boolean {
    if (this.queued + bytes > this.most) return false;
    this.queued += bytes;
    buffered.inc(bytes);
    return true;
  }

  free(bytes: number): void {
    this.queued -= bytes;
    buffered.dec(bytes);
  }

  /** Counts a page that a subscriber has read by itself, until the returned function is called. */
  holdPage(bytes: number): () => void {
    buffered.inc(bytes);
    return () => buffered.dec(bytes);
  }
}
