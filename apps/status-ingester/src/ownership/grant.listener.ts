/**
 * What happens when a lease is granted or lost. A granted shard is migrated, its move becomes an event, and the owner loop
 * reads it. A granted lane is announced to the mailboxes and connected. When a lease is lost, the current batch is finished
 * first: of a shard it is applied, of a lane it is stored and acknowledged (S6).
 */
import type { Logger } from '@app/platform';
import { shardMoved, type FencedCommit, type Migration, type RegistryKeys } from '@app/registry';
import type { Grant, LeasedOwnership, Mailboxes, OwnerLoop, OwnershipListener } from '@app/sharding';
import type { LaneStrategy } from '../intake/lane.strategy.js';
import type { SweepTriggers } from '../reconciliation/sweep-triggers.js';
import type { KeySpaceClaim } from './key-space-claim.js';

export interface GrantListenerDependencies {
  ownership: LeasedOwnership;
  keySpace: Pick<KeySpaceClaim, 'current' | 'forget'>;
  migration: Pick<Migration, 'migrate'>;
  commits: FencedCommit;
  loop: Pick<OwnerLoop, 'add' | 'remove'>;
  mailboxes: Pick<Mailboxes, 'announce'>;
  lanes: Pick<LaneStrategy, 'open' | 'drop' | 'setLaneCount'>;
  triggers: Pick<SweepTriggers, 'possibleDataLoss'>;
  keys: RegistryKeys;
  /** Id of this process among the members. */
  memberId: string;
  shardCount: number;
  logger: Logger;
}

export class GrantListener implements OwnershipListener {
  constructor(private readonly dependencies: GrantListenerDependencies) {}

  async granted(grant: Grant): Promise<void> {
    const { keySpace, migration, mailboxes, lanes, loop, ownership, shardCount } = this.dependencies;
    const { format } = await keySpace.current();
    if (grant.kind === 'shard') {
      await migration.migrate(grant, format);
      await this.emitMove(grant);
      return loop.add(grant);
    }
    await mailboxes.announce(grant, shardCount);
    lanes.open(grant, ownership);
  }

  async revoked(grant: Grant): Promise<void> {
    const { lanes, loop } = this.dependencies;
    if (grant.kind === 'shard') await loop.remove(grant);
    else await lanes.drop(grant);
  }

  laneCountChanged(count: number): void {
    this.dependencies.lanes.setLaneCount(count);
  }

  possibleDataLoss(): void {
    const { keySpace, triggers, logger } = this.dependencies;
    keySpace.forget();
    logger.warn('Redis may have lost data: connections may differ from the broker until a sweep has corrected them');
    triggers.possibleDataLoss();
  }

  private async emitMove(grant: Grant): Promise<void> {
    const { commits, keys, memberId } = this.dependencies;
    const position = await commits.position(grant.index);
    await commits.commit(grant, position, position, [shardMoved(keys, grant.index, grant.epoch, memberId)]);
  }
}
