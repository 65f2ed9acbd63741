/** Injection token of the app's logger. */
export const LOGGER = Symbol('LOGGER');
/** Injection token of the app's validated settings. */
export const SETTINGS = Symbol('SETTINGS');
/** Injection token of the Redis connection for an app's ordinary commands. */
export const REDIS = Symbol('REDIS');
