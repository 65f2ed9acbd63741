/**
 * The last event of each shard that the caller has got. A resumed stream begins about two seconds before its cursor: it repeats
 * events, and may contain events from before the first connection. Both are dropped: within a shard, each `event_id` is greater
 * than the one before. Events from before the time at which the caller wanted to begin are dropped as well.
 */
import type { Event } from './generated/types.gen.js';

interface Position {
  ms: number;
  sequence: number;
}

export class ShardPositions {
  private readonly last = new Map<number, Position>();
  private readonly sinceMs: number;

  /** `since`: RFC 3339 timestamp. */
  constructor(since?: string) {
    this.sinceMs = since === undefined ? -Infinity : Date.parse(since);
  }

  /** Whether the caller wants the event, and it is later than all events of its shard so far; if so, it becomes the last one. */
  advance(event: Event): boolean {
    if (event.type === 'gap') this.stepBack(event.shard, Date.parse(event.from));
    if (!('event_id' in event)) return true;
    if (Date.parse(event.at) < this.sinceMs) return false;
    const [, shard, ms, sequence] = /^(\d+)-(\d+)-(\d+)$/.exec(event.event_id)?.map(Number) ?? [];
    if (shard === undefined || ms === undefined || sequence === undefined) return true;
    const last = this.last.get(shard);
    if (last !== undefined && (ms < last.ms || (ms === last.ms && sequence <= last.sequence))) return false;
    this.last.set(shard, { ms, sequence });
    return true;
  }

  /** If the clock of a shard has stepped back, its positions are smaller than before: accept events from there on. */
  private stepBack(shard: number, fromMs: number): void {
    const last = this.last.get(shard);
    if (last === undefined || fromMs >= last.ms) return;
    if (Number.isNaN(fromMs)) this.last.delete(shard);
    else this.last.set(shard, { ms: fromMs, sequence: 0 });
  }
}
