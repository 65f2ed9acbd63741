/** Events of several shards that were read together. They are serialized once per filter, for all its subscribers. */
import { msOf, compareIds, type EventGap, type EventPage, type ShardPosition } from '@app/registry';
import type { Logger } from '@app/platform';
import { encodeCursor } from './event-cursor.js';
import { gapFor, gapText, toSseEvent, wants, type EventFilter, type SseEvent } from './sse-event.js';

export class EventBatch {
  readonly events: readonly SseEvent[];
  readonly gaps: readonly EventGap[];
  /** When the first of the events happened, epoch milliseconds. */
  private readonly firstAt: number;
  private readonly chunks = new Map<string, Buffer | undefined>();

  constructor(
    pages: readonly EventPage[],
    /** Time up to which every shard has been read when this batch is sent, epoch milliseconds. */
    readonly upToMs: number,
    /** Position of the reader in every shard before this batch. */
    readonly before: readonly ShardPosition[],
    logger: Logger,
    /** Events of other accounts are left out without being parsed. */
    onlyAccount?: string,
  ) {
    this.gaps = pages.flatMap(({ gap }) => gap ?? []);
    this.events = pages
      .flatMap(({ shard, events }) =>
        events.flatMap((event) => {
          if (onlyAccount !== undefined && event.account !== onlyAccount) return [];
          try {
            return toSseEvent(shard, event);
          } catch (error) {
            logger.error({ err: error, shard, entry: event.id }, 'this event cannot be parsed and is left out');
            return [];
          }
        }),
      )
      .sort((a, b) => compareIds(a.position, b.position));
    this.firstAt = this.events.reduce((first, { at }) => Math.min(first, at), Infinity);
  }

  /** The text for a filter; undefined if no event and no gap matches. */
  chunkFor(filter: EventFilter): Buffer | undefined {
    const { types, clientId, sinceMs = 0, account } = filter;
    // New events are later than any `sinceMs`: subscribers that began at different times share their text.
    const since = sinceMs > this.firstAt ? sinceMs : null;
    const named = types === undefined ? null : [...types].sort();
    const key = JSON.stringify([named, clientId ?? null, account ?? null, since]);
    if (!this.chunks.has(key)) this.chunks.set(key, this.chunk(filter));
    return this.chunks.get(key);
  }

  private chunk(filter: EventFilter): Buffer | undefined {
    const events = this.events.filter((event) => wants(filter, event));
    const gaps = this.gaps.flatMap((gap) => gapFor(filter, gap) ?? []);
    if (gaps.length + events.length === 0) return undefined;
    // Later events are not older, so the time of the event is a cursor, unless another shard has not been read up to it.
    const texts = events.map(({ position, text }) => `${idLine(Math.min(msOf(position), this.upToMs))}${text}`);
    const gapCursor = idLine(Math.min(this.upToMs, ...events.slice(0, 1).map(({ position }) => msOf(position))));
    return Buffer.from(gaps.map((gap) => gapCursor + gapText(gap)).join('') + texts.join(''));
  }
}

export function idLine(ms: number): string {
  return `id: ${encodeCursor(ms)}\n`;
}
