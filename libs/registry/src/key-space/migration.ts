/**
 * Migrates a key space of an older release to this release's format, shard by shard. An ingester migrates a shard when it
 * has acquired it and before it acts for it. After the last shard the marker names the new format; until then gateways and
 * dispatchers of this release wait, and those of the older release continue.
 *
 * - An ingester joins only when no ingester of an older format is alive, so that no process writes the old layout.
 * - After a crash the steps of one shard are repeated; they are safe to repeat.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger, ReadinessCheck, Redis } from '@app/platform';
import { StaleOwnerError, listMembers, type Grant } from '@app/sharding';
import { commands } from '../commands.js';
import { FORMAT, claimKeySpace, raiseFormat, type Marker } from './key-space.js';
import type { RegistryKeys } from '../keys.js';
import type { MigrationStep } from './migration-step.js';
import { MIGRATION_STEPS } from './steps.js';

/** Interval for polling a state that only other processes can change. */
const POLL_MS = 500;

const raiseShardFormat = commands.load<{ owner: string; format: string }, { fence: string; to: number }, 0 | 1>(
  'raise-shard-format',
);

export interface MigrationDependencies {
  redis: Redis;
  keys: RegistryKeys;
  shardCount: number;
  logger: Logger;
  steps?: readonly MigrationStep[];
}

export class Migration {
  constructor(private readonly dependencies: MigrationDependencies) {}

  /** Resolves when no ingester that writes an older format is alive. Rejects when `signal` is aborted. */
  async untilOlderMembersAreGone(signal: AbortSignal): Promise<void> {
    const { redis, keys, logger } = this.dependencies;
    let known = '';
    for (;;) {
      const older = (await listMembers(redis, keys)).filter(({ format }) => format < FORMAT).map(({ name }) => name);
      if (older.length === 0) return;
      if (known !== older.join()) {
        known = older.join();
        logger.warn({ members: older }, 'ingesters of an older release are running: standing by until they have ended');
      }
      await sleep(POLL_MS, undefined, { signal });
    }
  }

  /**
   * Migrates a shard that was just acquired if it has an older format. After the last shard, raises the marker's format.
   * @param from the marker's format
   * @throws StaleOwnerError if the shard was lost during the migration
   */
  async migrate(grant: Grant, from: number): Promise<void> {
    if (from >= FORMAT) return;
    const { redis, keys, logger, steps = MIGRATION_STEPS } = this.dependencies;
    const has = Number((await redis.get(keys.format(grant.index))) ?? from);
    for (const step of steps.filter(({ to }) => to > has && to <= FORMAT)) {
      logger.info({ shard: grant.index, format: step.to }, `migrating: ${step.what}`);
      await step.run(redis, keys, grant);
    }
    const shardKeys = { owner: keys.owner(grant), format: keys.format(grant.index) };
    const args = { fence: grant.fence, to: FORMAT };
    if ((await raiseShardFormat.run(redis, shardKeys, args)) === 0) throw new StaleOwnerError(grant);
    await this.finishIfLast(from);
  }

  private async finishIfLast(from: number): Promise<void> {
    const { redis, keys, shardCount, logger } = this.dependencies;
    const shards = Array.from({ length: shardCount }, (_, shard) => redis.get(keys.format(shard)));
    if ((await Promise.all(shards)).some((format) => Number(format ?? from) < FORMAT)) return;
    if (await raiseFormat(redis, keys)) logger.info({ from, to: FORMAT }, 'the key space has been migrated');
  }
}

/** Waits until the key space has this release's format. For processes that do not migrate. */
export class KeySpaceOpening {
  private reason: string | undefined = 'the key space has not been read yet';

  /** Why the key space cannot be used yet; undefined as soon as it can. */
  get problem(): string | undefined {
    return this.reason;
  }

  /**
   * Claims the key space and waits until it has this release's format.
   * @throws KeySpaceError, or the reason of `signal` when it is aborted
   */
  async open(
    redis: Redis,
    keys: RegistryKeys,
    shardCount: number,
    logger: Logger,
    signal: AbortSignal,
  ): Promise<Marker> {
    for (let waited = false; ; waited = true) {
      const marker = await claimKeySpace(redis, keys, shardCount);
      if (marker.format === FORMAT) {
        this.reason = undefined;
        return marker;
      }
      this.reason = OLDER_FORMAT;
      if (!waited) logger.warn({ format: marker.format, wanted: FORMAT }, OLDER_FORMAT);
      await sleep(POLL_MS, undefined, { signal });
    }
  }
}

const OLDER_FORMAT =
  'an older release wrote this key space: waiting until its ingesters have stopped and an ingester of this release has migrated it';

/** Of `/health/ready`. */
export function keySpaceCheck(opening: Pick<KeySpaceOpening, 'problem'>): ReadinessCheck {
  return {
    name: 'key-space',
    check: () => Promise.resolve(opening.problem === undefined ? 'up' : { down: opening.problem }),
  };
}
