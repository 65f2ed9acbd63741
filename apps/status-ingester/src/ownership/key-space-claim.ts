/**
 * Claims the key space: sets it up if it is new, and records the lanes and the share group in use. It is claimed once, and
 * again if Redis may have lost it or the claim has failed. An ingester owns nothing in a key space that does not fit (S0).
 */
import type { Logger, Redis } from '@app/platform';
import { claimKeySpace, claimLanes, type RegistryKeys } from '@app/registry';
import type { LaneStrategy } from '../intake/lane.strategy.js';

export interface ClaimedKeySpace {
  format: number;
  /** Number of lanes that may have sessions at the broker. */
  sessions: number;
}

export interface KeySpaceClaimOptions {
  shardCount: number;
  laneCount: number;
  /** `SHARE_GROUP`, if it is set. */
  shareGroup: string | undefined;
}

export class KeySpaceClaim {
  private claimed: Promise<ClaimedKeySpace> | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly lanes: Pick<LaneStrategy, 'group'>,
    private readonly options: KeySpaceClaimOptions,
    private readonly logger: Logger,
  ) {}

  /** @throws KeySpaceError */
  current(): Promise<ClaimedKeySpace> {
    this.claimed ??= this.claim().catch((error: unknown) => {
      this.claimed = undefined;
      throw error;
    });
    return this.claimed;
  }

  /** The next call of `current` claims again. */
  forget(): void {
    this.claimed = undefined;
  }

  private async claim(): Promise<ClaimedKeySpace> {
    const { redis, keys, lanes } = this;
    const { shardCount, laneCount, shareGroup } = this.options;
    const { format } = await claimKeySpace(redis, keys, shardCount);
    // The name of the group is part of the client ids of the lanes.
    const noted = await claimLanes(redis, keys, laneCount, shareGroup ?? lanes.group);
    const group = shareGroup ?? noted.shareGroup;
    if (lanes.group !== undefined && lanes.group !== group)
      this.logger.warn(
        'the key space names another share group than the one in use: the sessions of the old lanes stay at the broker until removed',
      );
    lanes.group = group;
    return { sessions: noted.sessions, format };
  }
}
