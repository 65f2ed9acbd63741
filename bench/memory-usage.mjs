/** What the keys of Redis take, by kind, and how two such states differ. */

const KEYS_AT_ONCE = 1000;
/** Kinds whose size has a bound of its own, whatever the number of connections and messages. */
const BOUNDED = /^(events|events:refusals|dead-letters|mailbox|deliveries|log|outbound:claims)$/;

/** @typedef {{ usedMemory: number, kinds: Map<string, number> }} Usage */

/** @param {import('ioredis').Redis} redis @returns {Promise<Usage>} */
export async function keyUsage(redis) {
  const usedMemory = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
  /** @type {Map<string, number>} */
  const kinds = new Map();
  for await (const some of redis.scanStream({ count: KEYS_AT_ONCE })) {
    const keys = /** @type {string[]} */ (some);
    const pipeline = redis.pipeline();
    // Without SAMPLES 0 the members of a key are estimated from five of them.
    for (const key of keys) pipeline.memory('USAGE', key, 'SAMPLES', 0);
    const sizes = (await pipeline.exec()) ?? [];
    for (const [i, [error, bytes]] of sizes.entries()) {
      if (error !== null) throw error;
      const kind = kindOf(keys[i] ?? '');
      // A key that has expired since has no size.
      kinds.set(kind, (kinds.get(kind) ?? 0) + Number(bytes ?? 0));
    }
  }
  return { usedMemory, kinds };
}

/** Prints what came between two states, for each of `count`. @returns bytes of all that has no bound of its own */
export function usageOf(
  /** @type {string} */ what,
  /** @type {Usage} */ before,
  /** @type {Usage} */ after,
  /** @type {number} */ count,
) {
  /** @type {Record<string, Record<string, number | undefined>>} */
  const table = {};
  let [own, bounded] = [0, 0];
  for (const [kind, bytes] of after.kinds) {
    const more = (bytes - (before.kinds.get(kind) ?? 0)) / count;
    if (BOUNDED.test(kind)) bounded += more;
    else own += more;
    if (Math.abs(more) >= 1)
      table[kind] = BOUNDED.test(kind) ? { bounded: Math.round(more) } : { bytes: Math.round(more) };
  }
  // Includes kinds that have gone.
  for (const [kind, bytes] of before.kinds) if (!after.kinds.has(kind)) own -= bytes / count;
  const used = (after.usedMemory - before.usedMemory) / count;
  table['all keys'] = { bytes: Math.round(own), bounded: Math.round(bounded) };
  table['used_memory'] = { bytes: Math.round(used - bounded), bounded: Math.round(bounded) };
  console.log(`\nBytes of ${what}`);
  console.table(table);
  return Math.round(own);
}

/** A key without its shard and what names a client, a message or an account. @param {string} key */
function kindOf(key) {
  const ofShard = /^cc:\{s\d+\}:(.*)$/.exec(key)?.[1];
  if (ofShard === undefined) return 'other keys';
  const named = /^(facts|message|outbox|messages|finished-of|idempotency|deliveries|sweep)(:|$)/.exec(ofShard)?.[1];
  return named ?? ofShard.replace(/^account:.*:(online:|offline:)?([^:]*)$/, 'of an account: $1$2');
}
