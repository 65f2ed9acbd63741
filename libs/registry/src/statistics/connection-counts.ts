/**
 * How many connections there were in each minute of the last hour. A gateway stores the sizes of the sets once a minute; the first one in
 * a minute wins. A minute in which no gateway ran has no counts.
 */
import type { Redis } from '@app/platform';
import { readMinuteCounts } from '@app/sharding';
import { commands } from '../commands.js';
import { CONNECTION_STATES, CONNECTION_TYPES } from '../connection-state.js';
import type { Summary } from '../connections/connection-directory.js';
import type { RegistryKeys } from '../keys.js';

/** Counts are read for an hour. */
const KEPT_MS = 2 * 3_600_000;

const setMinuteCounts = commands.load<
  { minutes: string },
  { kept_ms: number; counts: readonly (string | number)[] },
  null
>('set-minute-counts');

export async function storeConnectionCounts(redis: Redis, keys: RegistryKeys, summary: Summary): Promise<void> {
  const counts = CONNECTION_STATES.flatMap((state) =>
    CONNECTION_TYPES.flatMap((type) => [`${state}_${type}`, summary[state][type]]),
  );
  await setMinuteCounts.run(redis, { minutes: keys.connectionCounts }, { kept_ms: KEPT_MS, counts });
}

/**
 * @param now epoch milliseconds, by Redis' clock
 * @returns the counts of 60 minutes, oldest first; undefined for a minute without
 */
export async function readConnectionCounts(
  redis: Redis,
  keys: RegistryKeys,
  now: number,
): Promise<(Summary | undefined)[]> {
  const minutes = await readMinuteCounts(redis, [keys.connectionCounts], now);
  return minutes.map((counts) => {
    const of = (name: string): number => counts.get(name) ?? 0;
    if (counts.size === 0) return undefined;
    return {
      online: { host: of('online_host'), proxy: of('online_proxy') },
      offline: { host: of('offline_host'), proxy: of('offline_proxy') },
    };
  });
}
