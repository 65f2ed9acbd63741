/**
 * What has to be done to a shard that an older release wrote, a list from each format to the next. A release that
 * changes what is stored raises `FORMAT` and adds its steps.
 */
import type { Redis } from '@app/platform';
import type { Grant } from '@app/sharding';
import type { RegistryKeys } from '../registry-keys.js';
import { ANSWERS_OF_REFUSALS } from './answers-of-refusals.js';

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

export const MIGRATION_STEPS: readonly MigrationStep[] = [ANSWERS_OF_REFUSALS];
