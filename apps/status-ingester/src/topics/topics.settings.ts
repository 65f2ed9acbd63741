/** The topics of clients, as they are set, and the topic of the service itself. Intake, shards and reconciliation share them. */
import { bytes, parsed, section } from '@app/platform';
import { DEFAULT_IN_TOPIC, DEFAULT_OUT_TOPIC, TopicTemplate, parseTopicTemplates } from '@app/protocol';
import type { z } from 'zod';

export const topicsSettings = {
  ...section('Topics', {
    STATUS_TOPICS: parsed(DEFAULT_IN_TOPIC, parseTopicTemplates).describe(
      'Topics that carry the state of connections: one template, or several separated by commas.',
    ),
    IN_TOPIC: parsed(DEFAULT_IN_TOPIC, (text) => new TopicTemplate(text)).describe(
      'Topic on which clients publish everything else.',
    ),
    OUT_TOPIC: parsed(DEFAULT_OUT_TOPIC, (text) => new TopicTemplate(text)).describe(
      'Topic to which answers to a client are published; clients subscribe to it. The same as that of the dispatcher.',
    ),
  }),
  ...section('Intake', {
    MAX_INBOUND_BYTES: bytes(262_144, 1024, 16_777_216).describe(
      'Largest payload of a client. A larger one becomes a dead letter.',
    ),
  }),
};
export type TopicsSettings = z.output<z.ZodObject<typeof topicsSettings>>;

/**
 * Topic of the service's own; it matches no topic of a client. A retained message on it comes last when retained messages
 * are read, and the lanes are subscribed to it for the markers of the barrier.
 */
export const SENTINEL = 'cloud-connector/sentinel';

/** The status topics, and `IN_TOPIC` if it is not among them: all topics on which clients publish. */
export function inboundTopics({
  STATUS_TOPICS,
  IN_TOPIC,
}: Pick<TopicsSettings, 'STATUS_TOPICS' | 'IN_TOPIC'>): readonly TopicTemplate[] {
  const isStatus = STATUS_TOPICS.some(({ template }) => template === IN_TOPIC.template);
  return isStatus ? STATUS_TOPICS : [...STATUS_TOPICS, IN_TOPIC];
}
