import { Module, type DynamicModule } from '@nestjs/common';
import { BrokerGate, BrokerModule, Publisher } from '@app/broker';
import {
  HealthModule,
  Lifecycle,
  ObservabilityModule,
  REDIS,
  RedisModule,
  SettingsModule,
  type Logger,
  type NamedConnection,
} from '@app/platform';
import { RegistryModule } from '@app/registry';
import { LeasedOwnership } from '@app/sharding';
import { AccountLookups } from './accounts/account-lookups.js';
import { AccountsModule } from './accounts/accounts.module.js';
import { BrokerRecordModule } from './broker/broker-record.module.js';
import type { QueueTiming } from './broker/queue-limit.js';
import { IngesterLifecycle } from './ingester.lifecycle.js';
import { ingesterReadiness } from './ingester.readiness.js';
import type { IngesterSettings } from './ingester.settings.js';
import { assertIngesterTimes, ingesterTimes } from './ingester.times.js';
import { IntakeModule } from './intake/intake.module.js';
import { LaneWatch, type LaneWatchTiming } from './intake/lane-watch.js';
import { LaneWatchModule } from './intake/lane-watch.module.js';
import { LaneStrategy } from './intake/lane.strategy.js';
import { OwnershipModule } from './ownership/ownership.module.js';
import { StandBy } from './ownership/stand-by.js';
import { MAINTENANCE_REDIS, ReconciliationModule } from './reconciliation/reconciliation.module.js';
import { Verifier } from './reconciliation/verifier.js';
import { MAILBOXES_REDIS, ShardModule } from './shard/shard.module.js';
import { LEASES_REDIS, MEMBERS_REDIS, ShardingModule } from './sharding/sharding.module.js';
import { SENTINEL } from './topics/topics.settings.js';

const MAIN_REDIS: NamedConnection = { token: REDIS, name: 'ingester', whenAway: 'wait' };

const shard = ShardModule.of({
  imports: [ReconciliationModule, AccountsModule],
  verification: Verifier,
  accounts: AccountLookups,
});
const ownership = OwnershipModule.of({ imports: [shard] });

/** What a spec does not wait for. */
export interface IngesterTiming {
  laneWatch?: LaneWatchTiming;
  queue?: QueueTiming;
}

@Module({})
export class IngesterModule {
  static wire(settings: IngesterSettings, logger: Logger, timing: IngesterTiming = {}): DynamicModule {
    assertIngesterTimes(ingesterTimes(settings));
    const laneWatch = LaneWatchModule.of(timing.laneWatch);
    return {
      module: IngesterModule,
      imports: [
        SettingsModule.of(settings),
        ObservabilityModule.of(logger),
        RedisModule.connect([MAIN_REDIS, MAILBOXES_REDIS, LEASES_REDIS, MEMBERS_REDIS, MAINTENANCE_REDIS]),
        BrokerModule.of('ingester', { needs: 'intake', sentinel: SENTINEL }),
        RegistryModule,
        ShardingModule,
        BrokerRecordModule.of(timing.queue),
        IntakeModule,
        laneWatch,
        shard,
        ReconciliationModule,
        AccountsModule,
        ownership,
        HealthModule.of({
          imports: [ShardingModule, IntakeModule, laneWatch, ownership],
          inject: [REDIS, BrokerGate, Publisher, LaneStrategy, LaneWatch, LeasedOwnership, StandBy],
          useFactory: ingesterReadiness,
        }),
      ],
      providers: [{ provide: Lifecycle, useClass: IngesterLifecycle }],
    };
  }
}
