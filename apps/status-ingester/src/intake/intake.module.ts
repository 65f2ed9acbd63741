/**
 * In: messages of clients, from the broker through lanes. Out: entries of the mailboxes of their shards; a stored message
 * is acknowledged to the broker. Invariants: only the owner of a lane connects it (S10), and appends with its epoch (S2); a
 * lane that is handed over first stores and acknowledges what it has read (S6).
 */
import { Module } from '@nestjs/common';
import { BROKER, BrokerGate, type BrokerAccess } from '@app/broker';
import { LOGGER, REDIS, SETTINGS, type Logger, type Redis } from '@app/platform';
import { RegistryKeys, RegistryModule, forgetLane } from '@app/registry';
import { Mailboxes } from '@app/sharding';
import { ShardingModule } from '../sharding/sharding.module.js';
import { SENTINEL, inboundTopics } from '../topics/topics.settings.js';
import type { IntakeSettings } from './intake.settings.js';
import { LaneConnections } from './lane-connections.js';
import { LaneMarkers } from './lane-markers.js';
import { LaneStrategy } from './lane.strategy.js';
import { MailboxWriter } from './mailbox-writer.js';

@Module({
  imports: [RegistryModule, ShardingModule],
  providers: [
    { provide: LaneConnections, useFactory: () => new LaneConnections() },
    {
      provide: LaneMarkers,
      inject: [REDIS, RegistryKeys, SETTINGS, LOGGER],
      useFactory: (redis: Redis, keys: RegistryKeys, settings: IntakeSettings, logger: Logger) => {
        const ownTopics = inboundTopics(settings).flatMap(({ ownTopic }) => ownTopic ?? []);
        return new LaneMarkers(redis, keys, SENTINEL, logger, new Set(ownTopics));
      },
    },
    {
      provide: MailboxWriter,
      inject: [Mailboxes, LaneMarkers, BrokerGate, SETTINGS, LOGGER],
      useFactory: mailboxWriter,
    },
    {
      provide: LaneStrategy,
      inject: [BROKER, BrokerGate, MailboxWriter, Mailboxes, LaneConnections, REDIS, RegistryKeys, SETTINGS, LOGGER],
      useFactory: laneStrategy,
    },
  ],
  exports: [LaneConnections, LaneMarkers, LaneStrategy],
})
export class IntakeModule {}

function mailboxWriter(
  mailboxes: Mailboxes,
  markers: LaneMarkers,
  gate: BrokerGate,
  settings: IntakeSettings,
  logger: Logger,
): MailboxWriter {
  const options = {
    templates: inboundTopics(settings),
    shardCount: settings.SHARD_COUNT,
    laneCount: settings.INTAKE_LANES,
    maxInboundBytes: settings.MAX_INBOUND_BYTES,
    limits: { rate: settings.CLIENT_RATE, burst: settings.CLIENT_BURST, bytesRate: settings.CLIENT_BYTES_RATE },
  };
  return new MailboxWriter(mailboxes, markers, gate, options, logger);
}

function laneStrategy(
  broker: BrokerAccess,
  gate: BrokerGate,
  writer: MailboxWriter,
  mailboxes: Mailboxes,
  connections: LaneConnections,
  redis: Redis,
  keys: RegistryKeys,
  settings: IntakeSettings,
  logger: Logger,
): LaneStrategy {
  const templates = inboundTopics(settings);
  const filters = [...templates.map(({ filter }) => filter), SENTINEL];
  return new LaneStrategy(
    { ...broker, gate, filters, templates, window: settings.INTAKE_WINDOW },
    writer,
    {
      connected: (connect) => connections.announce(connect),
      sessionBegun: async (lane) => {
        await mailboxes.forgetDeliveries(lane, settings.SHARD_COUNT);
      },
      retired: async (lane) => {
        const isOurs = await mailboxes.forgetDeliveries(lane, settings.SHARD_COUNT);
        if (isOurs) await forgetLane(redis, keys, lane.index);
      },
    },
    logger,
  );
}
