/**
 * Sets the key space up if it is new, with the lanes and the share group in use. Claimed once, and again if Redis may have
 * lost it or the claim has failed. Nothing is acted for in a key space that does not fit (S0).
 */
import type { Logger, Redis } from '@app/platform';
import { claimKeySpace, claimLanes, type RegistryKeys } from '@app/registry';
import type { LaneStrategy } from '../intake/lane.strategy.js';

export interface ClaimedKeySpace {
  format: number;
  /** Lanes 0 to this, less one, may have sessions at the broker. */
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
    // The group's name is part of the lanes' sessions.
    const noted = await claimLanes(redis, keys, laneCount, shareGroup ?? lanes.group);
    const group = shareGroup ?? noted.shareGroup;
    if (lanes.group !== undefined && lanes.group !== group)
      this.logger.warn(
        'another share group is noted than the one in use: the old lanes stay at the broker until removed',
      );
    lanes.group = group;
    return { sessions: noted.sessions, format };
  }
}
