/** The to-do that wakes a dispatcher for a shard, as the scripts on messages write it. */

/** `encodeToDo({ do: 'wake' })`. */
export const WAKE_TODO = '{"do":"wake"}';

/** A wake-up that was due and is still not drained after this is repeated: it may have been lost. */
export const WAKE_AGAIN_MS = 10_000;
