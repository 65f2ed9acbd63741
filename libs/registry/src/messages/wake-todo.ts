/** The to-do that wakes a dispatcher for a shard, as Lua commands write it. */

/** Equals `encodeToDo({ do: 'wake' })`. */
export const WAKE_TODO = '{"do":"wake"}';

/** A wake-up that was due is repeated after this time if no dispatcher has drained the shard: it may have been lost. */
export const WAKE_AGAIN_MS = 10_000;
