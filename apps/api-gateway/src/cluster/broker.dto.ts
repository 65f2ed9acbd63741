/** What ingesters found out about the broker, as the REST API shows it. */
import { z } from 'zod';

export const BrokerBody = z
  .object({
    checked_at: z.iso
      .datetime()
      .meta({ description: 'When an ingester last checked the broker.', example: '2026-11-29T10:00:00.000Z' }),
    session_expiry_seconds: z
      .int()
      .nullable()
      .meta({
        description:
          'How long the broker keeps the session of a lane that is not connected. What clients publish while no ingester ' +
          'runs for longer is lost. null: it names no limit.',
        example: 1_209_600,
      }),
    receive_maximum: z.int().meta({
      description: 'How many publishes may wait for their acknowledgement on one connection.',
      example: 1000,
    }),
    maximum_packet_size: z
      .int()
      .nullable()
      .meta({ description: 'Largest packet in bytes that the broker accepts. null: no limit.', example: 268_435_455 }),
    maximum_qos: z.int().meta({ description: 'Highest QoS that the broker grants.', example: 2 }),
    retain_available: z.boolean().meta({ description: 'Whether the broker retains messages.', example: true }),
    shared_subscriptions: z
      .boolean()
      .meta({ description: 'Whether the broker grants shared subscriptions.', example: true }),
    wildcard_subscriptions: z
      .boolean()
      .meta({ description: 'Whether the broker grants subscriptions with wildcards.', example: true }),
    server_keep_alive_seconds: z
      .int()
      .nullable()
      .meta({ description: 'The keep-alive that the broker asks for. null: that of the service.', example: 60 }),
    no_subscriber_signal: z
      .boolean()
      .nullable()
      .meta({
        description:
          'Whether the broker reports that nobody is subscribed to the topic of a message (0x10). If false, a message to a ' +
          'client that does not listen is `sent`, never `held`, and does not arrive later. null: not known.',
        example: true,
      }),
    absence_provable: z.boolean().nullable().meta({
      description: 'Whether a read of the broker proves that a client has no retained message. null: not known.',
      example: true,
    }),
    queue_limit: z
      .int()
      .nullable()
      .meta({
        description:
          'How many messages the broker keeps for a session that is not connected, measured with 2,000 messages. It ' +
          'acknowledges and loses what clients publish beyond that while a lane is away. null: not measured, or no limit ' +
          'was found.',
        example: 1000,
      }),
    queue_measured_at: z.iso
      .datetime()
      .nullable()
      .meta({ description: 'When `queue_limit` was measured. null: never.', example: '2026-11-29T10:01:00.000Z' }),
  })
  .meta({ id: 'ClusterBroker', description: 'What ingesters found out about the broker.' });
