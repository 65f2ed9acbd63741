export * from './fenced-commit.js';
export * from './mailbox.js';
export * from './owner-loop.js';
export * from './ownership.js';
export * from './sharding-keys.js';
export * from './static-ownership.js';
