import type { Redis } from '@app/platform';
import type { Grant } from '@app/sharding';
import type { RegistryKeys } from '../keys.js';

export interface MigrationStep {
  /** The format to which the step leads. */
  to: number;
  /** The end of the log line "migrating: …". */
  what: string;
  /**
   * Migrates a shard that this process has just acquired and does not act for yet. Safe to repeat after a crash. A step
   * runs any number of scripts, each of bounded length, and passes `grant.fence` if a delayed write could do harm.
   */
  run(redis: Redis, keys: RegistryKeys, grant: Grant): Promise<void>;
}
