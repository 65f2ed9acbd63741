/** What the feed has read in one go, as text for each filter in use: made once, however many subscribers share it. */
import { gap, wants, type EventFilter, type ToldEvent } from './told-event.js';

export interface NumberedEvent extends ToldEvent {
  /** The feed's cursor behind it. */
  cursor: string;
}

export class Round {
  private readonly chunks = new Map<string, Buffer | undefined>();

  constructor(
    readonly events: readonly NumberedEvent[],
    /** Shards of which events were lost, before those of this round. */
    readonly gaps: readonly number[],
  ) {}

  /** Undefined where nothing of it matches. */
  chunkFor(filter: EventFilter): Buffer | undefined {
    const { types, clientId, account } = filter;
    const key = JSON.stringify([types === undefined ? null : [...types].sort(), clientId ?? null, account ?? null]);
    if (!this.chunks.has(key)) this.chunks.set(key, this.chunk(filter));
    return this.chunks.get(key);
  }

  private chunk(filter: EventFilter): Buffer | undefined {
    const gaps = this.gaps.map(gap);
    const events = this.events.filter((event) => wants(filter, event));
    if (gaps.length + events.length === 0) return undefined;
    return Buffer.from(gaps.join('') + events.map(({ cursor, text }) => `id: ${cursor}\n${text}`).join(''));
  }
}
