export * from './backoff.js';
export * from './bounded-write.js';
export * from './draining.js';
export * from './health.js';
export * from './health.module.js';
export * from './http-server.js';
export { errorLine } from './logged-error.js';
export * from './lifecycle.js';
export * from './logger.js';
export * from './loopback.js';
export * from './lua-commands.js';
export * from './memory-watch.js';
export * from './pause.js';
export * from './metrics.js';
export * from './observability.module.js';
export {
  RedisBusyError,
  RedisError,
  RedisForbiddenError,
  RedisFullError,
  RedisScriptError,
  RedisUnavailableError,
  isRedisError,
} from './redis-error.js';
export * from './redis-requirements.js';
export * from './redis-restart-detector.js';
export * from './redis-url.js';
export * from './redis-outage.js';
export * from './redis.js';
export { sendSoon } from './redis-writes.js';
export * from './redis.module.js';
export * from './requirement-error.js';
export * from './retry.js';
export * from './route-access.js';
export * from './run-app.js';
export * from './sampled.js';
export { describeSettings, section, type SettingDescription } from './setting-docs.js';
export * from './settings.js';
export * from './settings.module.js';
export * from './time-order.js';
export * from './tokens.js';
export { causeOf, unreachable } from './unreachable.js';
export * from './watched-file.js';
export * from './within.js';
export { linkedAbort, sharedAbort } from './shared-abort.js';
