/** Settings of the messages that are published to clients. */
import { brokerSettings } from '@app/broker';
import { integer, parsed, section, type CommonSettings } from '@app/platform';
import { DEFAULT_IN_TOPIC, DEFAULT_OUT_TOPIC, TopicTemplate } from '@app/protocol';
import type { z } from 'zod';

export const outboundSettings = {
  ...brokerSettings,
  ...section('Sending', {
    OUT_TOPIC: parsed(DEFAULT_OUT_TOPIC, (text) => new TopicTemplate(text)).describe(
      'Topic to which messages for a client are published; clients subscribe to it. The same as that of the ingester.',
    ),
    IN_TOPIC: parsed(DEFAULT_IN_TOPIC, (text) => new TopicTemplate(text)).describe(
      'Topic on which a client answers; messages to it name it as the Response Topic of MQTT 5. The same as that of the ingester.',
    ),
    DISPATCH_CONCURRENCY: integer(50, 1, 1000).describe(
      'Number of connections for which one dispatcher publishes at the same time. Each has one publish under way, ' +
        'so this is also the most publishes that wait for a PUBACK. Raise it if the broker is far away.',
    ),
  }),
};
export type OutboundSettings = z.output<z.ZodObject<typeof outboundSettings>> & CommonSettings;
