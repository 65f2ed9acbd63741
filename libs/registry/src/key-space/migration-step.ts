import type { Redis } from '@app/platform';
import type { Grant } from '@app/sharding';
import type { RegistryKeys } from '../keys.js';

export interface MigrationStep {
  /** The format that the step belongs to. */
  to: number;
  /** Completes the log line "migrating: …". */
  what: string;
  /**
   * Runs on a shard that this process has just acquired and does not act for yet. Safe to repeat after a crash. A step
   * takes as many scripts as it needs, each of a bounded length, and passes `grant.fence` if a late write could harm.
   */
  run(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void>;
}
