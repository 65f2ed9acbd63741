/** Reads `--since`: a time, how long ago, or an event after which to go on. */
import type { EventsOptions } from '../events.js';
import { secondsOf } from './durations.js';
import { UsageError } from './failures.js';

/** `5m` is five minutes ago. A time stays as it is: the service says which forms it takes. @throws UsageError */
export function timeOf(since: string | undefined, now = Date.now()): string | undefined {
  if (since === undefined) return undefined;
  const seconds = secondsOf(since);
  if (seconds !== undefined) return new Date(now - seconds * 1000).toISOString();
  if (Number.isNaN(Date.parse(since)))
    throw new UsageError('--since must be a duration such as 5m or 1h30m, or a time such as 2026-11-30T06:00:00Z');
  return since;
}

/** An id from which a stream resumes begins with a letter, and a time with the digits of its year. @throws UsageError */
export function beginOf(since: string | undefined): Pick<EventsOptions, 'lastEventId' | 'since'> {
  if (since === undefined) return {};
  if (/^\d+-\d{10,}-\d+$/.test(since)) {
    throw new UsageError('--since takes the `id` of an event, not its `event_id`, or a time such as 5m');
  }
  return /^\d/.test(since) || secondsOf(since) !== undefined ? { since: timeOf(since) } : { lastEventId: since };
}
