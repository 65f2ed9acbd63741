/** Reads `--since`: a time, how long ago, or an event after which to go on. */
import type { EventsOptions } from '../events.js';
import { secondsOf } from './durations.js';
import { UsageError } from './failures.js';

/** `5m` is five minutes ago. A timestamp stays as it is: the service says what is wrong with it. */
export function timeOf(since: string | undefined, now = Date.now()): string | undefined {
  const seconds = since === undefined ? undefined : secondsOf(since);
  return seconds === undefined ? since : new Date(now - seconds * 1000).toISOString();
}

/** An id from which a stream resumes begins with a letter, and a time with the digits of its year. @throws UsageError */
export function beginOf(since: string | undefined): Pick<EventsOptions, 'lastEventId' | 'since'> {
  if (since === undefined) return {};
  if (/^\d+-\d{10,}-\d+$/.test(since)) {
    throw new UsageError('--since takes the `id` of an event, not its `event_id`, or a time such as 5m');
  }
  return /^\d/.test(since) || secondsOf(since) !== undefined ? { since: timeOf(since) } : { lastEventId: since };
}
