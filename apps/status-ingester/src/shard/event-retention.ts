/**
 * Trims the event logs of the owned shards to `EVENT_RETENTION` and `EVENT_STREAM_BYTES`. A log without an owner is bounded
 * as well: each append keeps it below twice its bytes.
 */
import { gauge, type Logger, type Redis } from '@app/platform';
import { logStreams, type RegistryKeys } from '@app/registry';
import { trimLog, type LogLimits, type Ownership } from '@app/sharding';

const logAgeSeconds = gauge(
  'oldest_event_age_seconds',
  'How long ago the oldest entry of a stream was appended: the shortest time of the owned shards that have one.',
  ['stream'],
);

const EVERY_MS = 5000;
/** Most entries of one stream that one call of the script removes. */
const MOST = 1000;
/** Most calls for one shard in one round; the next round continues. */
const MOST_SCRIPTS = 20;

export class EventRetention {
  private timer: NodeJS.Timeout | undefined;
  private round: Promise<void> | undefined;

  constructor(
    private readonly ownership: Pick<Ownership, 'grants'>,
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly limits: (shard: number) => LogLimits,
    private readonly logger: Logger,
  ) {}

  start(): void {
    this.timer = setInterval(() => {
      this.round ??= this.trim().finally(() => (this.round = undefined));
    }, EVERY_MS);
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.round;
  }

  /** Trims all owned shards once. A shard whose Redis does not answer is trimmed in the next round. */
  async trim(): Promise<void> {
    const shards = this.ownership.grants().flatMap(({ kind, index }) => (kind === 'shard' ? [index] : []));
    const shortest = new Map<string, number>();
    await Promise.all(
      shards.map(async (shard) => {
        try {
          for (const [stream, ms] of await this.trimShard(shard))
            shortest.set(stream, Math.min(ms, shortest.get(stream) ?? ms));
        } catch (error) {
          this.logger.warn({ err: error, shard }, 'could not trim the event log of a shard; next try in 5 seconds');
        }
      }),
    );
    logAgeSeconds.reset();
    for (const [stream, ms] of shortest) logAgeSeconds.set({ stream }, ms / 1000);
  }

  private async trimShard(shard: number): Promise<[stream: string, retainedMs: number][]> {
    const streams = logStreams(this.keys, shard);
    for (let scripts = 1; ; scripts++) {
      const { removed, retainedMs } = await trimLog(this.redis, this.keys, shard, streams, this.limits(shard), MOST);
      if (removed >= MOST && scripts < MOST_SCRIPTS) continue;
      return streams.flatMap(({ name }, i): [string, number][] => {
        const ms = retainedMs[i];
        return ms === undefined ? [] : [[name, ms]];
      });
    }
  }
}
