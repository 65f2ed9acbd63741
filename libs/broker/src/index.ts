export * from './broker-access.js';
export * from './broker.module.js';
export * from './broker-watch.js';
export * from './intake-connection.js';
export type { PublishOptions, PublishOutcome } from './publish-outcome.js';
export * from './publisher.js';
export * from './retained-reader.js';
export * from './retained-sweep.js';
export { UPTIME_MIN_SPAN_SECONDS, UPTIME_TOLERANCE_MS, type Uptime } from './uptime-proof.js';
