/**
 * Bytes of events that the subscribers of a gateway have not taken. Half of `EVENT_BUFFER_TOTAL` at most is for the pages
 * that subscribers read by themselves: each may have one at any time, so nobody waits for the others, and a subscriber
 * for which there is no page is not admitted. The rest is for what the feed has read.
 */
import { gauge } from '@app/platform';

const buffered = gauge('event_buffered_bytes', 'Bytes of events that subscribers have not taken.');

/** A page that a subscriber reads by itself: at most and at least. */
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
