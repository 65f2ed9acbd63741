/** What was read of some shards in one go, as text for each filter in use: made once, however many subscribers share it. */
import { msOf, compareIds, type EventGap, type EventPage, type ShardPosition } from '@app/registry';
import type { Logger } from '@app/platform';
import { encodeCursor } from './event-cursor.js';
import { gapText, toldEvent, wants, type EventFilter, type ToldEvent } from './told-event.js';

export class Round {
  readonly events: readonly ToldEvent[];
  readonly gaps: readonly EventGap[];
  private readonly chunks = new Map<string, Buffer | undefined>();

  constructor(
    pages: readonly EventPage[],
    /** Up to where every shard has been read when this round is over, epoch milliseconds. */
    readonly upToMs: number,
    /** Where the reader stood in every shard before this round. */
    readonly before: readonly ShardPosition[],
    logger: Logger,
    /** Events of other accounts are left out, and not even parsed. */
    onlyOf?: string,
  ) {
    this.gaps = pages.flatMap(({ gap }) => gap ?? []);
    this.events = pages
      .flatMap(({ shard, events }) =>
        events.flatMap((event) => {
          if (onlyOf !== undefined && event.account !== onlyOf) return [];
          try {
            return toldEvent(shard, event);
          } catch (error) {
            logger.error({ err: error, shard, entry: event.id }, 'an event could not be read; it is left out');
            return [];
          }
        }),
      )
      .sort((a, b) => compareIds(a.position, b.position));
  }

  /** The text for a filter; undefined if nothing of it matches. */
  chunkFor(filter: EventFilter): Buffer | undefined {
    const { types, clientId, account } = filter;
    const key = JSON.stringify([types === undefined ? null : [...types].sort(), clientId ?? null, account ?? null]);
    if (!this.chunks.has(key)) this.chunks.set(key, this.chunk(filter));
    return this.chunks.get(key);
  }

  private chunk(filter: EventFilter): Buffer | undefined {
    const events = this.events.filter((event) => wants(filter, event));
    const gaps = this.gaps.filter((gap) => filter.shard === undefined || filter.shard === gap.shard);
    if (gaps.length + events.length === 0) return undefined;
    // What follows is not older than the event, so its own time is a cursor as long as no shard is behind it.
    const texts = events.map(({ position, text }) => `${idLine(Math.min(msOf(position), this.upToMs))}${text}`);
    const gapCursor = idLine(Math.min(this.upToMs, ...events.slice(0, 1).map(({ position }) => msOf(position))));
    return Buffer.from(gaps.map((gap) => gapCursor + gapText(gap)).join('') + texts.join(''));
  }
}

export function idLine(ms: number): string {
  return `id: ${encodeCursor(ms)}\n`;
}
