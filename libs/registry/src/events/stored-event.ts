/** The entries of the streams of events. */
import type { StreamEntry } from '@app/sharding';
import type { DeadLetter, DeadLetterEvent, MessageStatusEvent } from './event.js';

/** A stored event; `text` is its JSON. */
export interface StoredEvent extends StreamEntry {
  /** Index of its stream in `EVENT_STREAM_NAMES`. */
  stream: number;
  /** Epoch milliseconds. */
  at: number;
  /** The account of the connection at that time; undefined if it had none or the account was unknown. */
  account: string | undefined;
}

/**
 * The events of an entry. Its fields are `at`, `event`, and `account` if it is known. With the field `next` there are two: a message
 * was accepted and got another status in the same moment. The second event has the id of the entry, the first one the id before it.
 * An entry with `letter` is a dead letter: it belongs to no account, since only those who may look at the cluster get it.
 */
export function eventsOfEntry(id: string, stream: number, fields: readonly string[]): StoredEvent[] {
  const entry: Record<string, string | undefined> = {};
  for (let i = 0; i < fields.length; i += 2) entry[fields[i] ?? ''] = fields[i + 1];
  const { at, event: text = '', account, next, letter } = entry;
  if (letter !== undefined) return [{ id, stream, at: Number(at), text: deadLetterText(letter), account: undefined }];
  const last = { id, stream, at: Number(at), text, account };
  if (next === undefined) return [last];
  const event = JSON.parse(text) as MessageStatusEvent;
  return [
    { ...last, id: idBefore(id) },
    { ...last, text: JSON.stringify({ ...event, status: next }) },
  ];
}

/** The id before one that takes two of the sequence. */
function idBefore(id: string): string {
  const [ms, sequence] = id.split('-');
  return `${ms}-${Number(sequence) - 1}`;
}

/** The sample is left out: it can be as large as all other members together. @throws SyntaxError if the letter is not JSON */
function deadLetterText(letter: string): string {
  const { client_id, topic, reason, details } = JSON.parse(letter) as DeadLetter;
  const event: DeadLetterEvent = { type: 'dead_letter.added', client_id, topic, reason, details };
  return JSON.stringify(event);
}
