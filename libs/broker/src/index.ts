export * from './intake-connection.js';
export * from './publisher.js';
