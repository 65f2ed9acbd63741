/**
 * Trims the event logs of the owned shards to `EVENT_RETENTION` and `EVENT_STREAM_BYTES`: each once a minute, and earlier when its
 * oldest entry becomes too old, when its limits change, and while there is something to remove. A log without an owner is bounded
 * as well: each append keeps it below twice its bytes.
 */
import { isDeepStrictEqual } from 'node:util';
import { gauge, type Logger, type Redis } from '@app/platform';
import { eventStreams, type RegistryKeys } from '@app/registry';
import { trimLog, type LogLimits, type Ownership } from '@app/sharding';

const logAgeSeconds = gauge(
  'oldest_event_age_seconds',
  'How long ago the oldest entry of a stream was appended: the shortest time of the owned shards that have one.',
  ['stream'],
);

/** How often this process looks which shards are due. */
const EVERY_MS = 5000;
/** How often a shard is trimmed that has nothing to remove. */
const AT_REST_MS = 60_000;
/** Most entries of one stream that one call of the script removes. */
const MOST = 1000;
/** Most calls for one shard in one round; the next round continues. */
const MOST_SCRIPTS = 20;

/** What the last trim of a shard has found. */
interface Trimmed {
  at: number;
  /** When the next one is due. */
  dueAt: number;
  limits: LogLimits;
  /** Age of the oldest entry of each stream at that time. */
  retainedMs: ReadonlyMap<string, number>;
}

export class EventRetention {
  private readonly trimmed = new Map<number, Trimmed>();
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

  /** Trims the owned shards that are due. A shard whose Redis does not answer is trimmed in the next round. */
  async trim(): Promise<void> {
    const now = performance.now();
    const shards = this.ownership.grants().flatMap(({ kind, index }) => (kind === 'shard' ? [index] : []));
    for (const shard of this.trimmed.keys()) if (!shards.includes(shard)) this.trimmed.delete(shard);
    await Promise.all(shards.filter((shard) => this.isDue(shard, now)).map((shard) => this.trimShard(shard, now)));
    this.showAges();
  }

  private isDue(shard: number, now: number): boolean {
    const last = this.trimmed.get(shard);
    return last === undefined || now >= last.dueAt || !isDeepStrictEqual(last.limits, this.limits(shard));
  }

  private async trimShard(shard: number, at: number): Promise<void> {
    const streams = eventStreams(this.keys, shard);
    const limits = this.limits(shard);
    const retainedMs = new Map<string, number>();
    try {
      let removed = 0;
      for (let scripts = 1, more = true; more; scripts++) {
        const trimmed = await trimLog(this.redis, this.keys, shard, streams, limits, MOST);
        for (const [i, { name }] of streams.entries()) {
          const ms = trimmed.retainedMs[i];
          if (ms === undefined) retainedMs.delete(name);
          else retainedMs.set(name, ms);
        }
        removed += trimmed.removed;
        more = trimmed.removed >= MOST && scripts < MOST_SCRIPTS;
      }
      const untilTooOld = limits.retentionMs - Math.max(0, ...retainedMs.values());
      const dueAt = removed > 0 ? at : at + Math.min(AT_REST_MS, untilTooOld);
      this.trimmed.set(shard, { at, dueAt, limits, retainedMs });
    } catch (error) {
      this.trimmed.delete(shard);
      this.logger.warn({ err: error, shard }, 'could not trim the event log of a shard; next try in 5 seconds');
    }
  }

  private showAges(): void {
    const oldest = new Map<string, number>();
    const now = performance.now();
    for (const { at, retainedMs } of this.trimmed.values()) {
      for (const [stream, ms] of retainedMs) {
        const ageMs = ms + now - at;
        oldest.set(stream, Math.min(ageMs, oldest.get(stream) ?? ageMs));
      }
    }
    logAgeSeconds.reset();
    for (const [stream, ms] of oldest) logAgeSeconds.set({ stream }, ms / 1000);
  }
}
