export {
  SHARD_OUTBOX_BYTES,
  bytesOfPayers,
  chargeStoredMessages,
  payerOf,
  recountBytes,
} from './messages/byte-budget.js';
export * from './reconciliation/broker-record.js';
export * from './reconciliation/broker-runs.js';
export * from './commits/fenced-commit.js';
export * from './connections/command-replies.js';
export * from './connections/connection.js';
export { decodeConnection, encodeConnection } from './connections/connection-record.js';
export * from './connection-state.js';
export * from './connections/connection-directory.js';
export * from './connections/connection-writes.js';
export * from './events/dead-letters.js';
export * from './todos/due-work.js';
export * from './events/event.js';
export { EventNotifier } from './events/event-notifier.js';
export * from './events/event-log.js';
export * from './events/member-events.js';
export * from './events/event-reader.js';
export * from './events/stored-event.js';
export * from './messages/final-messages.js';
export { findHeldConnections } from './messages/held-connections.js';
export { FINISHED_LIMITS, type FinishedLimits } from './messages/finished-messages.js';
export { SEARCHABLE_FACTS, type SearchableFact } from './connections/fact-index.js';
export * from './key-space/key-space.js';
export * from './connections/mailbox-entry.js';
export {
  isFinalStatus,
  truncateDetails,
  EXPIRED_UNKNOWN,
  MESSAGE_STATUSES,
  OUTCOME_UNKNOWN,
  TRANSITIONS,
  type MessageStatus,
  type StatusChange,
  type StoredStatus,
} from './message-status.js';
export * from './reconciliation/maintenance.js';
export * from './messages/report-act.js';
export { memoryHighWater } from './messages/memory-high-water.js';
export * from './messages/message-report.js';
export type { AnswerFields, MessageAnswer, MessageProgress } from './messages/message-record.js';
export * from './search/message-search.js';
export { MOST_LOOKED_AT } from './search/message-page.js';
export { WALKED_SETS } from './search/message-walk.js';
export * from './messages/messages.js';
export type { StoredMessage } from './messages/stored-messages.js';
export { KeySpaceOpening, Migration, keySpaceCheck } from './key-space/migration.js';
export type { MigrationStep } from './key-space/migration-step.js';
export * from './messages/outbound-activation.js';
export * from './messages/outbound-work.js';
export * from './messages/outbox.js';
export * from './queue-worker.js';
export * from './connections/refusals.js';
export * from './keys.js';
export * from './requests/lease-requests.js';
export * from './registry.module.js';
export * from './reconciliation/sweeps.js';
export * from './statistics/connection-counts.js';
export * from './statistics/message-counts.js';
export * from './statistics/message-totals.js';
export * from './statistics/percentile.js';
export * from './statistics/sending-times.js';
export * from './todos/to-do.js';
export * from './unmatched-reasons.js';
export * from './messages/wake-ups.js';
