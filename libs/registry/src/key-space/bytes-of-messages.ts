/** Format 2 counts the bytes of unfinished messages by connection, payer and shard. 0.1.0 counted messages only. */
import { chargeStoredMessages } from '../messages/byte-budget.js';
import type { MigrationStep } from './migration-step.js';

export const BYTES_OF_MESSAGES: MigrationStep = {
  to: 2,
  what: 'bytes of unfinished messages',
  run: chargeStoredMessages,
};
