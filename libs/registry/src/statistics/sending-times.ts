/**
 * How long messages take from their acceptance to the broker, for each minute of the last hour. Dispatchers count them in memory and
 * add them with their heartbeats. These counts are for people who look: if a dispatcher is killed, those of a second are lost, and if
 * a reply is lost, they may be counted twice.
 */
import type { Redis } from '@app/platform';
import { readMinuteCounts } from '@app/sharding';
import { commands } from '../commands.js';
import type { RegistryKeys } from '../keys.js';

/** Upper limits of the times that are counted together, in milliseconds: each is a quarter to a half more than the one before. */
export const SENDING_TIMES_MS: readonly number[] = [
  ...[1, 1.5, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300, 400, 500, 700],
  ...[1000, 1500, 2000, 3000, 5000, 10_000, 30_000, 60_000, Infinity],
];
/** Counts are read for an hour. */
const KEPT_MS = 2 * 3_600_000;

const addMinuteCounts = commands.load<
  { minutes: string },
  { kept_ms: number; counts: readonly (string | number)[] },
  null
>('add-minute-counts');

export class SendingTimes {
  private counts = new Map<number, number>();

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
  ) {}

  observe(ms: number): void {
    const limit = SENDING_TIMES_MS.find((one) => ms <= one) ?? Infinity;
    this.counts.set(limit, (this.counts.get(limit) ?? 0) + 1);
  }

  /** Adds what was counted since the last call. If Redis does not answer, the next call adds it. */
  async add(): Promise<void> {
    if (this.counts.size === 0) return;
    const { counts } = this;
    this.counts = new Map();
    try {
      const flat = [...counts].flatMap(([limit, count]) => [nameOf(limit), count]);
      await addMinuteCounts.run(this.redis, { minutes: this.keys.sendingTimes }, { kept_ms: KEPT_MS, counts: flat });
    } catch (error) {
      for (const [limit, count] of counts) this.counts.set(limit, (this.counts.get(limit) ?? 0) + count);
      throw error;
    }
  }
}

/**
 * @param now epoch milliseconds, by Redis' clock
 * @returns for each minute of the last hour, oldest first, how many messages took at most each of `SENDING_TIMES_MS`, and more than
 *   the one before
 */
export async function readSendingTimes(redis: Redis, keys: RegistryKeys, now: number): Promise<number[][]> {
  const minutes = await readMinuteCounts(redis, [keys.sendingTimes], now);
  return minutes.map((counts) => SENDING_TIMES_MS.map((limit) => counts.get(nameOf(limit)) ?? 0));
}

/** In microseconds, so that it has no point. */
function nameOf(limit: number): string {
  return limit === Infinity ? 'more' : String(Math.round(limit * 1000));
}
