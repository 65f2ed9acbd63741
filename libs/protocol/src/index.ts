export * from './client-id.js';
export * from './inbound.js';
export * from './message-id.js';
export * from './outbound.js';
export * from './parse-inbound.js';
export * from './reconnect-after.js';
export * from './shard-hash.js';
export * from './topics.js';
