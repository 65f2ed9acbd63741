/** Settings of what is published to clients. */
import { brokerSettings } from '@app/broker';
import { integer, parsed, type CommonSettings } from '@app/platform';
import { DEFAULT_OUT_TOPIC, TopicTemplate } from '@app/protocol';
import type { z } from 'zod';

export const outboundSettings = {
  ...brokerSettings,
  OUT_TOPIC: parsed(DEFAULT_OUT_TOPIC, (text) => new TopicTemplate(text)),
  /** Connections whose outboxes are drained at the same time. More than 1,000 publishes are never under way. */
  DISPATCH_CONCURRENCY: integer(50, 1, 1000),
};
export type OutboundSettings = z.output<z.ZodObject<typeof outboundSettings>> & CommonSettings;
