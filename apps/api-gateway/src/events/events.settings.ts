/** Settings of the event stream. */
import { bytes, duration, integer, section, type CommonSettings } from '@app/platform';
import type { z } from 'zod';

export const eventsSettings = section('Event streams', {
  EVENT_STREAMS: integer(1000, 1, 100_000).describe(
    'Most event streams that one gateway has open, and at most one for each 8 KiB of `EVENT_BUFFER_TOTAL`; above ' +
      'it 503.',
  ),
  EVENT_BUFFER_BYTES: bytes(1_048_576, 65_536, 268_435_456).describe(
    'Most bytes of events that are buffered for a slow subscriber. Above it, the subscriber reads from Redis at ' +
      'its own pace.',
  ),
  EVENT_BUFFER_TOTAL: bytes(134_217_728, 1_048_576, 17_179_869_184).describe(
    'The same for all subscribers of a gateway together. Half of it is reserved for subscribers that read from ' +
      'Redis, 64 KiB for each if there is room.',
  ),
  EVENT_HEARTBEAT: duration('15s', { min: '100ms', max: '5m' }).describe(
    'Interval at which an event stream sends a comment, so that both sides notice a dead connection.',
  ),
});
export type EventsSettings = z.output<z.ZodObject<typeof eventsSettings>> & CommonSettings;
