/** Settings of the event stream. */
import { duration, integer, type CommonSettings } from '@app/platform';
import type { z } from 'zod';

export const eventsSettings = {
  /** Most event streams open at a time. */
  EVENT_STREAMS: integer(1000, 1, 100_000),
  /** Most bytes of events that are kept for a subscriber that has not taken them; past it, it reads by itself. */
  EVENT_BUFFER_BYTES: integer(1_048_576, 65_536, 268_435_456),
  /** The same, of all subscribers together. */
  EVENT_BUFFER_TOTAL: integer(134_217_728, 1_048_576, 17_179_869_184),
  /** How often an event stream shows that it lives. */
  EVENT_HEARTBEAT: duration('15s', { min: '100ms', max: '5m' }),
};
export type EventsSettings = z.output<z.ZodObject<typeof eventsSettings>> & CommonSettings;
