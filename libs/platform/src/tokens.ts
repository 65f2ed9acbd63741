/** Injection token of the app's logger. */
export const LOGGER = Symbol('LOGGER');
/** Injection token of the app's validated settings. */
export const SETTINGS = Symbol('SETTINGS');
/** Injection token of the connection to Redis that carries an app's ordinary commands. */
export const REDIS = Symbol('REDIS');
