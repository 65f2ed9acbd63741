/**
 * In: what a check of the broker found. Out: the record that `GET /v1/cluster` shows, gauges, and a warning if the broker keeps
 * few messages for a lane that is away.
 * Invariant: no start, readiness or message waits for any of it.
 */
import { Module, type DynamicModule } from '@nestjs/common';
import { BROKER, BrokerGate, measureQueueLimit, type BrokerAccess } from '@app/broker';
import { LOGGER, type Logger, type Redis } from '@app/platform';
import { BrokerRecords, RegistryKeys, RegistryModule } from '@app/registry';
import { LeasedOwnership } from '@app/sharding';
import { LEASES_REDIS, ShardingModule } from '../sharding/sharding.module.js';
import { exposeMissing } from './broker-gauges.js';
import { CheckRecorder } from './check-recorder.js';
import { QueueLimit, type QueueTiming } from './queue-limit.js';

@Module({})
export class BrokerRecordModule {
  static of(timing?: QueueTiming): DynamicModule {
    return {
      module: BrokerRecordModule,
      imports: [RegistryModule, ShardingModule],
      providers: [
        {
          provide: BrokerRecords,
          inject: [LEASES_REDIS.token, RegistryKeys],
          useFactory: (redis: Redis, keys: RegistryKeys) => new BrokerRecords(redis, keys),
        },
        {
          provide: CheckRecorder,
          inject: [BrokerRecords, BrokerGate, LOGGER],
          useFactory: (records: BrokerRecords, gate: BrokerGate, logger: Logger) => {
            const recorder = new CheckRecorder(records, logger);
            gate.onChecked((findings) => recorder.checked(findings));
            gate.onMissing(exposeMissing);
            return recorder;
          },
        },
        {
          provide: QueueLimit,
          inject: [BrokerRecords, LeasedOwnership, BROKER, LOGGER],
          useFactory: (records: BrokerRecords, ownership: LeasedOwnership, broker: BrokerAccess, logger: Logger) =>
            new QueueLimit(
              { records, ownership, measure: (signal) => measureQueueLimit(broker, signal), logger },
              timing,
            ),
        },
      ],
      exports: [CheckRecorder, QueueLimit],
    };
  }
}
