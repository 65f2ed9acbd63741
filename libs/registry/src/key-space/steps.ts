/**
 * What has to be done to a shard that an older release wrote, a list from each format to the next. A release that
 * changes what is stored raises `FORMAT` and adds its steps.
 */
import { ANSWERS_OF_REFUSALS } from './answers-of-refusals.js';
import { ASKED_ACCOUNTS } from './asked-accounts.js';
import { BYTES_OF_MESSAGES } from './bytes-of-messages.js';
import type { MigrationStep } from './migration-step.js';
import { RESERVED_IDS } from './reserved-ids.js';
import { STORED_NAMES } from './stored-names.js';
import { STREAMS_OF_EVENTS } from './streams-of-events.js';

export const MIGRATION_STEPS: readonly MigrationStep[] = [
  // First: other steps append to them.
  STREAMS_OF_EVENTS,
  ANSWERS_OF_REFUSALS,
  ASKED_ACCOUNTS,
  BYTES_OF_MESSAGES,
  RESERVED_IDS,
  STORED_NAMES,
];
