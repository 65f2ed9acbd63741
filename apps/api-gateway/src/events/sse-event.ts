/** Events as subscribers get them. Each is parsed and serialized once, for all subscribers. */
import {
  DEFAULT_EVENT_TYPES,
  TALK_TYPES,
  type EventStreamName,
  type EventGap,
  type EventType,
  type StoredEvent,
} from '@app/registry';

export interface SseEvent {
  shard: number;
  /** Id in the log of the shard. */
  position: string;
  /** Index of the stream in the log of the shard. */
  stream: number;
  /** When it happened, epoch milliseconds. */
  at: number;
  type: string;
  clientId: string | undefined;
  /** The account of the connection at that time; undefined if it had none or none was known. */
  account: string | undefined;
  /** The lines without `id`: the cursor depends on the reader. */
  text: string;
}

/** Which events a subscriber wants. */
export interface EventFilter {
  /** Undefined: `DEFAULT_EVENT_TYPES`. */
  types: ReadonlySet<EventType> | undefined;
  clientId: string | undefined;
  /** The shard of `clientId`. */
  shard?: number | undefined;
  /** Only events that happened then or later, epoch milliseconds. */
  sinceMs?: number | undefined;
  /** The account that the caller is bound to: only events of its connections match. */
  account?: string | undefined;
  /** Id of the caller: the streams of one caller take turns to catch up. */
  caller?: string | undefined;
}

export function wants({ types, clientId, sinceMs, account }: EventFilter, event: SseEvent): boolean {
  if (account !== undefined && event.account !== account) return false;
  if (!((types ?? DEFAULT_EVENT_TYPES) as ReadonlySet<string>).has(event.type)) return false;
  if (sinceMs !== undefined && event.at < sinceMs) return false;
  return clientId === undefined || clientId === event.clientId;
}

/** Streams that only those miss who follow one of their types. */
const FOLLOWED_BY: Readonly<Partial<Record<EventStreamName, ReadonlySet<string>>>> = {
  talk: TALK_TYPES,
  'dead-letters': new Set<EventType>(['dead_letter.added']),
};

/** The gap as the subscriber has to know it; undefined if it misses nothing. */
export function gapFor({ types, shard }: EventFilter, gap: EventGap): EventGap | undefined {
  if (shard !== undefined && shard !== gap.shard) return undefined;
  const streams = gap.streams.filter((name) => {
    const followed = FOLLOWED_BY[name];
    return followed === undefined || [...(types ?? [])].some((type) => followed.has(type));
  });
  return streams.length === 0 ? undefined : { ...gap, streams };
}

/** @throws SyntaxError if the stored text is not JSON */
export function toSseEvent(shard: number, { id, stream, at, text: stored, account }: StoredEvent): SseEvent {
  const { type, client_id } = JSON.parse(stored) as { type: string; client_id?: string };
  const about = `"event_id":"${shard}-${id}","at":"${new Date(at).toISOString()}","shard":${shard}`;
  const text = lines(type, `{${about},${stored.slice(1)}`);
  return { shard, position: id, stream, at, type, clientId: client_id, account, text };
}

/** The `gap` event: events of a shard may be missing. */
export function gapText({ shard, streams, from, until }: EventGap): string {
  const details =
    'earlier events of this shard are not there: they were removed, or the key space is newer. Read the present state of the connections and messages that you follow';
  const times = { from: new Date(from).toISOString(), until: new Date(until).toISOString() };
  return lines('gap', JSON.stringify({ type: 'gap', at: new Date().toISOString(), shard, streams, ...times, details }));
}

const END_DETAILS = {
  'too-slow': 'nothing was read from this stream for too long: resume with the last id',
  credentials: 'the credentials that opened this stream have expired or were revoked: open it with new ones',
  'shutting-down': 'this gateway stops: resume with the last id',
} as const;
export type EndReason = keyof typeof END_DETAILS;
export const END_REASONS = Object.keys(END_DETAILS) as EndReason[];

/** The `closed` event: the last one of a stream that the gateway ends. */
export function closedText(reason: EndReason): string {
  const details = END_DETAILS[reason];
  return lines('closed', JSON.stringify({ type: 'closed', at: new Date().toISOString(), reason, details }));
}

function lines(type: string, data: string): string {
  return `event: ${type}\ndata: ${data}\n\n`;
}
