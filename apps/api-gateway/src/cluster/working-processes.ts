/** Gauge of the processes that work, by role. Their heartbeats are read from Redis when metrics are scraped. */
import { gauge, isRedisError, type Logger, type Redis } from '@app/platform';
import { readProcesses, type Processes, type ShardingKeys } from '@app/sharding';

let source: { read: () => Promise<Processes>; logger: Logger } | undefined;

gauge(
  'processes_working',
  'Processes of a role that work, by their heartbeats; no sample while Redis does not answer.',
  ['role'],
  async function () {
    if (source === undefined) return;
    try {
      const working = countWorking(await source.read());
      for (const [role, count] of Object.entries(working)) this.set({ role }, count);
    } catch (error) {
      // A scrape must still return the other metrics.
      this.reset();
      if (!isRedisError(error)) source.logger.warn({ err: error }, 'the heartbeats of the processes cannot be read');
    }
  },
);

/** From now on the gauge reads these heartbeats. */
export function exposeWorkingProcesses(redis: Redis, keys: ShardingKeys, logger: Logger): void {
  source = { read: () => readProcesses(redis, keys), logger };
}

/** A process that stops, or misses the broker or Redis, does not work. */
export function countWorking({ members, dispatchers, gateways }: Processes): Record<string, number> {
  return {
    gateway: gateways.length,
    ingester: members.filter(({ draining, fitness }) => !draining && fitness === 'fit').length,
    dispatcher: dispatchers.filter((dispatcher) => dispatcher.takes_shards).length,
  };
}
