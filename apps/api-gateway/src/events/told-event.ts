/** An event as subscribers are told it: parsed once, and turned into text once, whoever listens. */
import type { EventType, StoredEvent } from '@app/registry';

export interface ToldEvent {
  shard: number;
  /** Its position in the shard's stream. */
  position: string;
  type: string;
  clientId: string | undefined;
  /** Of whose connection it tells; undefined where that was not known. */
  account: string | undefined;
  /** Its lines without the id, which is the reader's cursor behind it. */
  text: string;
}

/** What a subscriber wants to be told. */
export interface EventFilter {
  /** Undefined for all. */
  types: ReadonlySet<EventType> | undefined;
  clientId: string | undefined;
  /** Who is bound to an account is told of its connections, and of nothing else. */
  account?: string | undefined;
}

export function wants({ types, clientId, account }: EventFilter, event: ToldEvent): boolean {
  if (account !== undefined && event.account !== account) return false;
  if (types !== undefined && !(types as ReadonlySet<string>).has(event.type)) return false;
  return clientId === undefined || clientId === event.clientId;
}

/** @throws SyntaxError for what no release of this program wrote */
export function toldEvent(shard: number, { id, at, body, account }: StoredEvent): ToldEvent {
  const { type, client_id } = JSON.parse(body) as { type: string; client_id?: string };
  const data = `{"at":"${new Date(at).toISOString()}","shard":${shard},${body.slice(1)}`;
  return { shard, position: id, type, clientId: client_id, account, text: lines(type, data) };
}

/** Events of a shard may be missing from here on. */
export function gap(shard: number): string {
  const details = 'events of this shard from before here are gone: read anew what you follow';
  return lines('gap', JSON.stringify({ type: 'gap', at: new Date().toISOString(), shard, details }));
}

const ENDS = {
  'too-slow': 'events came faster than they were taken: resume with the last id',
  credentials: 'the credentials it was opened with are not good any more',
  'shutting-down': 'this gateway stops: resume with the last id',
} as const;
export type EndReason = keyof typeof ENDS;
export const END_REASONS = Object.keys(ENDS) as EndReason[];

/** The last event of a stream that is ended here. */
export function closed(reason: EndReason): string {
  const details = ENDS[reason];
  return lines('closed', JSON.stringify({ type: 'closed', at: new Date().toISOString(), reason, details }));
}

function lines(type: string, data: string): string {
  return `event: ${type}\ndata: ${data}\n\n`;
}
