/** An event as subscribers get it: parsed once and serialized once, however many subscribers there are. */
import { DEFAULT_EVENT_TYPES, type EventGap, type EventType, type StoredEvent } from '@app/registry';

export interface SseEvent {
  shard: number;
  /** Its id in the shard's log. */
  position: string;
  /** Index of its stream in the shard's log. */
  stream: number;
  type: string;
  clientId: string | undefined;
  /** The account of its connection at that time; undefined if it had none or it was not known. */
  account: string | undefined;
  /** Its lines without `id`, since the cursor depends on the reader. */
  text: string;
}

/** What a subscriber asks for. */
export interface EventFilter {
  /** Undefined for those that every subscriber gets, `DEFAULT_EVENT_TYPES`. */
  types: ReadonlySet<EventType> | undefined;
  clientId: string | undefined;
  /** The shard of that client. */
  shard?: number | undefined;
  /** A caller that is bound to an account gets the events of its connections, and no others. */
  account?: string | undefined;
  /** Id of the caller; the streams of one caller take turns to catch up. */
  caller?: string | undefined;
}

export function wants({ types, clientId, account }: EventFilter, event: SseEvent): boolean {
  if (account !== undefined && event.account !== account) return false;
  if (!((types ?? DEFAULT_EVENT_TYPES) as ReadonlySet<string>).has(event.type)) return false;
  return clientId === undefined || clientId === event.clientId;
}

/** @throws SyntaxError if no release of this program wrote it */
export function toSseEvent(shard: number, { id, stream, at, text: stored, account }: StoredEvent): SseEvent {
  const { type, client_id } = JSON.parse(stored) as { type: string; client_id?: string };
  const about = `"event_id":"${shard}-${id}","at":"${new Date(at).toISOString()}","shard":${shard}`;
  const text = lines(type, `{${about},${stored.slice(1)}`);
  return { shard, position: id, stream, type, clientId: client_id, account, text };
}

/** Events of a shard may be missing. */
export function gapText({ shard, streams, from, until }: EventGap): string {
  const details = 'events of this shard from before here are gone: read the state of what you follow again';
  const times = { from: new Date(from).toISOString(), until: new Date(until).toISOString() };
  return lines('gap', JSON.stringify({ type: 'gap', at: new Date().toISOString(), shard, streams, ...times, details }));
}

const ENDS = {
  'too-slow': 'nothing was taken for too long: resume with the last id',
  credentials: 'the credentials it was opened with are not good any more',
  'shutting-down': 'this gateway stops: resume with the last id',
} as const;
export type EndReason = keyof typeof ENDS;
export const END_REASONS = Object.keys(ENDS) as EndReason[];

/** The last event of a stream that is ended here. */
export function closedText(reason: EndReason): string {
  const details = ENDS[reason];
  return lines('closed', JSON.stringify({ type: 'closed', at: new Date().toISOString(), reason, details }));
}

function lines(type: string, data: string): string {
  return `event: ${type}\ndata: ${data}\n\n`;
}
