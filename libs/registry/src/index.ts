export { SHARD_OUTBOX_BYTES, bytesOfPayers, chargeStoredMessages, payerOf, recountBytes } from './byte-budget.js';
export * from './broker-runs.js';
export * from './command-replies.js';
export * from './connection.js';
export * from './connection-state.js';
export * from './connection-directory.js';
export * from './connection-writes.js';
export * from './dead-letters.js';
export { DRAIN_ENDS, type DrainEnd } from './drain-script.js';
export * from './due-work.js';
export * from './event.js';
export { EventBell } from './event-bell.js';
export * from './event-log.js';
export * from './event-reader.js';
export { FINISHED_LIMITS, type FinishedLimits } from './finished-messages.js';
export { SEARCHABLE_FACTS, type SearchableFact } from './fact-index.js';
export * from './key-space.js';
export * from './mailbox-message.js';
export {
  brief,
  MESSAGE_STATUSES,
  TRANSITIONS,
  type MessageStatus,
  type StatusChange,
  type StoredStatus,
} from './message-status.js';
export * from './maintenance.js';
export * from './messages.js';
export { Migration, openKeySpace } from './migration/migration.js';
export type { MigrationStep } from './migration/migration-step.js';
export * from './outbox.js';
export * from './refusals.js';
export * from './registry-keys.js';
export * from './registry.module.js';
export * from './sweeps.js';
export * from './to-do.js';
export * from './wake-ups.js';
