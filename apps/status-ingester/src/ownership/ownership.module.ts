/**
 * In: leases granted and lost. Out: shards that are read and lanes that are connected, or no longer.
 * Invariants: this process owns nothing in a key space that does not fit (S0), nor while ingesters of an older release run;
 * a shard has this release's format before it is read; the current batch is finished before a lease is released (S6).
 */
import { Module, type DynamicModule, type ModuleMetadata } from '@nestjs/common';
import { LOGGER, REDIS, SETTINGS, type Logger, type Redis } from '@app/platform';
import { FencedCommit, Migration, RegistryKeys, RegistryModule } from '@app/registry';
import { LeasedOwnership, Mailboxes, MemberIdentity, OwnerLoop } from '@app/sharding';
import { IntakeModule } from '../intake/intake.module.js';
import type { IntakeSettings } from '../intake/intake.settings.js';
import { LaneStrategy } from '../intake/lane.strategy.js';
import { ReconciliationModule } from '../reconciliation/reconciliation.module.js';
import { SweepTriggers } from '../reconciliation/sweep-triggers.js';
import { ShardingModule } from '../sharding/sharding.module.js';
import { GrantListener } from './grant.listener.js';
import { KeySpaceClaim } from './key-space-claim.js';
import { StandBy } from './stand-by.js';

@Module({})
export class OwnershipModule {
  /** `imports`: the module that exports the `OwnerLoop`. */
  static of({ imports = [] }: Pick<ModuleMetadata, 'imports'>): DynamicModule {
    return {
      module: OwnershipModule,
      imports: [RegistryModule, ShardingModule, IntakeModule, ReconciliationModule, ...imports],
      providers: [
        {
          provide: Migration,
          inject: [REDIS, RegistryKeys, SETTINGS, LOGGER],
          useFactory: (redis: Redis, keys: RegistryKeys, { SHARD_COUNT: shardCount }: IntakeSettings, logger: Logger) =>
            new Migration({ redis, keys, shardCount, logger }),
        },
        {
          provide: StandBy,
          inject: [Migration],
          useFactory: (migration: Migration) => new StandBy(migration),
        },
        {
          provide: KeySpaceClaim,
          inject: [REDIS, RegistryKeys, LaneStrategy, SETTINGS, LOGGER],
          useFactory: (
            redis: Redis,
            keys: RegistryKeys,
            lanes: LaneStrategy,
            { SHARD_COUNT: shardCount, INTAKE_LANES: laneCount, SHARE_GROUP: shareGroup }: IntakeSettings,
            logger: Logger,
          ) => new KeySpaceClaim(redis, keys, lanes, { shardCount, laneCount, shareGroup }, logger),
        },
        {
          provide: GrantListener,
          inject: [
            LeasedOwnership,
            KeySpaceClaim,
            Migration,
            FencedCommit,
            OwnerLoop,
            Mailboxes,
            LaneStrategy,
            SweepTriggers,
            RegistryKeys,
            MemberIdentity,
            SETTINGS,
            LOGGER,
          ],
          useFactory: (
            ownership: LeasedOwnership,
            keySpace: KeySpaceClaim,
            migration: Migration,
            commits: FencedCommit,
            loop: OwnerLoop,
            mailboxes: Mailboxes,
            lanes: LaneStrategy,
            triggers: SweepTriggers,
            keys: RegistryKeys,
            { id: memberId }: MemberIdentity,
            { SHARD_COUNT: shardCount }: IntakeSettings,
            logger: Logger,
          ) =>
            new GrantListener({
              ownership,
              keySpace,
              migration,
              commits,
              loop,
              mailboxes,
              lanes,
              triggers,
              keys,
              memberId,
              shardCount,
              logger,
            }),
        },
      ],
      exports: [StandBy, KeySpaceClaim, GrantListener],
    };
  }
}
