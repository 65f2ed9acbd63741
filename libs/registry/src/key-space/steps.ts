/**
 * The steps that migrate a shard of an older release, in the order in which they run. A release that changes the stored
 * layout raises `FORMAT` and adds its steps.
 */
import { REFUSAL_REPLIES } from './refusal-replies.js';
import { ASKED_ACCOUNTS } from './asked-accounts.js';
import { BYTES_OF_MESSAGES } from './bytes-of-messages.js';
import type { MigrationStep } from './migration-step.js';
import { RESERVED_IDS } from './reserved-ids.js';
import { SETS_OF_CONNECTIONS } from './sets-of-connections.js';
import { STORED_NAMES } from './stored-names.js';
import { STREAMS_OF_EVENTS } from './streams-of-events.js';

export const MIGRATION_STEPS: readonly MigrationStep[] = [
  // Must be first: other steps append to the streams.
  STREAMS_OF_EVENTS,
  REFUSAL_REPLIES,
  ASKED_ACCOUNTS,
  BYTES_OF_MESSAGES,
  RESERVED_IDS,
  STORED_NAMES,
  SETS_OF_CONNECTIONS,
];
