/** Reads the events of a shard: merges its streams in the order of ids and detects missing events. */
import type { NoArgs, Redis } from '@app/platform';
import { commands } from '../commands.js';
import { EVENT_STREAM_NAMES, eventStreams, type EventStreamName } from './event-log.js';
import { eventsOfEntry, type StoredEvent } from './stored-event.js';
import type { RegistryKeys } from '../keys.js';

/** The position of a reader in a shard. Immutable. */
export interface ShardPosition {
  /** The id after which the reader continues, for each stream. */
  after: readonly string[];
  /** The id up to which no event is missing, for each stream. Not smaller than `after`, except before the first read. */
  sure: readonly string[];
  /** The newest time of the shard that the reader has seen, epoch milliseconds. */
  seenMs: number;
}

/** A period whose events may have been lost before the reader got them. Times are epoch milliseconds. */
export interface EventGap {
  shard: number;
  streams: EventStreamName[];
  from: number;
  until: number;
}

export interface EventPage {
  shard: number;
  /** In the order of ids. */
  events: StoredEvent[];
  gap: EventGap | undefined;
  next: ShardPosition;
  /** All events up to this time have been read, epoch milliseconds of the shard's ids. */
  upToMs: number;
  /** Whether the requested range has been read to its end. */
  complete: boolean;
}

/** A reader that resumes repeats events of this period, since clocks of masters differ and may be set back a little. */
export const CURSOR_SLACK_MS = 2000;

/** A cursor is ahead of a restored log by less than this: the log is written to disk every second and raised every two. */
const HOLE_SLACK_MS = 5000;

const openLog = commands.load<{ log: string }, NoArgs, string>('open-log');

type RawEntry = [id: string, fields: string[]];

const readEvents = commands.load<
  { log: string; streams: readonly string[] },
  { bytes: number; bounds: readonly string[] },
  {
    now: string;
    last: string;
    since: string;
    hole: string;
    streams: [trimmed: string, more: 0 | 1, entries: RawEntry[]][];
  }
>('read-events');

export class EventReader {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    readonly shardCount: number,
  ) {}

  /** The end of a shard's log, for a reader of new events only. */
  async end(shard: number): Promise<ShardPosition> {
    const id = await openLog.run(this.redis, { log: this.keys.log(shard) }, {});
    const ids = EVENT_STREAM_NAMES.map(() => id);
    return { after: ids, sure: ids, seenMs: msOf(id) };
  }

  /**
   * Reads the events after a position: about `bytes` bytes of each stream, and at least one event. Does not read beyond
   * `until`.
   */
  async read(shard: number, from: ShardPosition, bytes: number, until?: ShardPosition): Promise<EventPage> {
    const keys = { log: this.keys.log(shard), streams: eventStreams(this.keys, shard).map(({ key }) => key) };
    const bounds = from.after.flatMap((id, i) => [id, until?.after[i] ?? '+']);
    const reply = await readEvents.run(this.redis, keys, { bytes, bounds });
    const { now, last, since, hole } = reply;
    const streams = EVENT_STREAM_NAMES.map((name, i) => {
      const [trimmed, more, entries] = reply.streams[i] ?? ['0-0', 0, []];
      return {
        name,
        gone: largest(since, trimmed),
        more: more === 1,
        // A reader may have stopped between the two events of an entry.
        events: entries
          .flatMap(([id, fields]) => eventsOfEntry(id, i, fields))
          .filter(({ id }) => isAfter(id, from.after[i] ?? '0-0')),
      };
    });
    const nowMs = msOf(now);
    if (from.seenMs - nowMs > CURSOR_SLACK_MS || from.after.some((id) => isAfter(id, last) && msOf(id) > nowMs)) {
      return this.startOver(shard, from, last, nowMs);
    }
    const bound = smallest(streams.flatMap(({ more, events }) => (more ? (events.at(-1)?.id ?? []) : [])));
    const events = streams
      .flatMap((stream) => stream.events)
      .filter(({ id }) => bound === undefined || !isAfter(id, bound))
      .sort((a, b) => compareIds(a.id, b.id));
    const complete = bound === undefined;
    const after = from.after.map((id, i) => events.findLast(({ stream }) => stream === i)?.id ?? id);
    return {
      shard,
      events,
      gap: gapOf(shard, from, hole, streams),
      next: {
        after,
        // Events that are gone count as read, so that a gap is reported once.
        sure: after.map((id, i) =>
          largest(id, from.sure[i] ?? id, streams[i]?.gone ?? id, complete && until === undefined ? now : id),
        ),
        seenMs: Math.max(from.seenMs, nowMs),
      },
      upToMs: complete ? nowMs : msOf(bound),
      complete,
    };
  }

  /** The shard's time is before the reader's position, so the log is not the one that was read: reports a gap. */
  private startOver(shard: number, from: ShardPosition, last: string, nowMs: number): EventPage {
    const id = `${Math.max(0, Math.min(msOf(last), nowMs) - CURSOR_SLACK_MS)}-0`;
    const ids = from.after.map(() => id);
    return {
      shard,
      events: [],
      gap: { shard, streams: [...EVENT_STREAM_NAMES], from: msOf(id), until: Math.max(from.seenMs, nowMs) },
      next: { after: ids, sure: ids.map(() => largest(last, `${nowMs}-0`)), seenMs: nowMs },
      upToMs: msOf(id),
      complete: false,
    };
  }
}

/** The position, in any shard, of a reader that resumes at a time. It repeats the events of the last moments before. */
export function positionAt(ms: number): ShardPosition {
  const ids = (id: string): string[] => EVENT_STREAM_NAMES.map(() => id);
  return { after: ids(`${Math.max(0, ms - CURSOR_SLACK_MS - 1)}-0`), sure: ids(`${ms}-0`), seenMs: ms };
}

/** @param streams `gone`: the newest id of the stream up to which entries are trimmed or lost */
function gapOf(
  shard: number,
  { sure, seenMs }: ShardPosition,
  hole: string,
  streams: readonly { name: EventStreamName; gone: string }[],
): EventGap | undefined {
  const [holeFrom = Infinity, holeUntil = 0] = hole === '' ? [] : hole.split(' ').map(Number);
  const inHole = seenMs > holeFrom + HOLE_SLACK_MS && seenMs < holeUntil;
  let until = inHole ? holeUntil : 0;
  const names = streams.flatMap(({ name, gone }, i) => {
    if (isAfter(gone, sure[i] ?? gone)) until = Math.max(until, msOf(gone));
    else if (!inHole) return [];
    return [name];
  });
  if (names.length === 0) return undefined;
  const from = Math.min(...sure.map(msOf));
  return { shard, streams: names, from: inHole ? Math.min(from, holeFrom) : from, until };
}

export function msOf(id: string): number {
  return Number(id.slice(0, id.indexOf('-')));
}

/** Compares two stream ids. Their sequence numbers stay far below 2^53. */
export function compareIds(a: string, b: string): number {
  return msOf(a) - msOf(b) || Number(a.slice(a.indexOf('-') + 1)) - Number(b.slice(b.indexOf('-') + 1));
}

export function isAfter(a: string, b: string): boolean {
  return compareIds(a, b) > 0;
}

function largest(...ids: string[]): string {
  return ids.reduce((a, b) => (isAfter(b, a) ? b : a));
}

function smallest(ids: readonly string[]): string | undefined {
  return ids.length === 0 ? undefined : ids.reduce((a, b) => (isAfter(a, b) ? b : a));
}
