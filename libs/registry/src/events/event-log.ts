/** The streams of a shard's log, and each stream's part of the shard's bytes. */
import type { LogStream } from '@app/sharding';
import type { RegistryKeys } from '../keys.js';

/**
 * A stream may use one in this many of `EVENT_STREAM_BYTES`. The streams that clients can fill, which are talk, refusals and dead
 * letters, share half of it.
 */
export const STATE_SHARE = 2;
export const TALK_SHARE = 4;
export const REFUSALS_SHARE = 8;
export const DEAD_LETTERS_SHARE = 8;

/** Names of the streams that subscribers read, in the order of `eventStreams`. */
export const EVENT_STREAM_NAMES = ['state', 'talk', 'refusals', 'dead-letters'] as const;
export type EventStreamName = (typeof EVENT_STREAM_NAMES)[number];

/** The streams that subscribers read. */
export function eventStreams(
  keys: RegistryKeys,
  shard: number,
): [state: LogStream, talk: LogStream, refusals: LogStream, deadLetters: LogStream] {
  return [
    { key: keys.events(shard), name: 'state', share: STATE_SHARE },
    { key: keys.talkEvents(shard), name: 'talk', share: TALK_SHARE },
    { key: keys.refusalEvents(shard), name: 'refusals', share: REFUSALS_SHARE },
    { key: keys.deadLetters(shard), name: 'dead-letters', share: DEAD_LETTERS_SHARE },
  ];
}
