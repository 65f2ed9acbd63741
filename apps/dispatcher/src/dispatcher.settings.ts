import { brokerSettings, brokerSettingsFit } from '@app/broker';
import { commonSettings, integer, parsed } from '@app/platform';
import { DEFAULT_OUT_TOPIC, TopicTemplate } from '@app/protocol';
import { z } from 'zod';

export const dispatcherSettings = z
  .object({
    ...commonSettings,
    PORT: integer(3002, 0, 65_535),
    ...brokerSettings,
    OUT_TOPIC: parsed(DEFAULT_OUT_TOPIC, (text) => new TopicTemplate(text)),
    /** Connections whose outboxes are drained at the same time. More than 1,000 publishes are never under way. */
    DISPATCH_CONCURRENCY: integer(50, 1, 1000),
  })
  .superRefine(brokerSettingsFit);
export type DispatcherSettings = z.output<typeof dispatcherSettings>;
