/**
 * How many finished messages, events and dead letters a shard keeps, and whether it keeps large answers. When Redis is nearly
 * full, a quarter of each is kept, so that memory is freed before Redis reaches its `maxmemory`.
 */
import type { MemoryMark, MemoryWatch } from '@app/platform';
import { FINISHED_LIMITS, type FinishedLimits } from '@app/registry';
import type { LogLimits } from '@app/sharding';
import type { ShardSettings } from './shard.settings.js';

const NEARLY_FULL: MemoryMark = { share: 0.95 };
/** When Redis is nearly full, the limits are divided by this. */
const REDUCTION = 4;
/** Share of `maxmemory` of Redis that all finished messages may take together. */
const FINISHED_SHARE = 0.2;

type RetentionSettings = Pick<
  ShardSettings,
  | 'SHARD_COUNT'
  | 'SHARD_FINISHED_LIMIT'
  | 'SHARD_FINISHED_BYTES'
  | 'EVENT_STREAM_BYTES'
  | 'EVENT_RETENTION'
  | 'MEMORY_HIGH_WATER'
>;

export class RetentionLimits {
  constructor(
    private readonly settings: RetentionSettings,
    private readonly memory: Pick<MemoryWatch, 'maxBytes' | 'isAbove'>,
  ) {}

  finished(shard: number): FinishedLimits {
    const { SHARD_COUNT, SHARD_FINISHED_LIMIT: count, SHARD_FINISHED_BYTES } = this.settings;
    const { maxBytes } = this.memory;
    const byDefault = maxBytes === undefined ? FINISHED_LIMITS.bytes : (FINISHED_SHARE * maxBytes) / SHARD_COUNT;
    const divisor = this.divisorOf(shard);
    return { count: Math.ceil(count / divisor), bytes: Math.ceil((SHARD_FINISHED_BYTES ?? byDefault) / divisor) };
  }

  log(shard: number): LogLimits {
    const { EVENT_STREAM_BYTES: bytes, SHARD_COUNT: shardCount, EVENT_RETENTION: retentionMs } = this.settings;
    return { bytes, part: this.divisorOf(shard), shardCount, retentionMs };
  }

  /** Whether large payloads of answers may be stored. */
  keepsLargeAnswers(shard: number): boolean {
    return !this.memory.isAbove(this.settings.MEMORY_HIGH_WATER, shard);
  }

  private divisorOf(shard: number): number {
    return this.memory.isAbove(NEARLY_FULL, shard) ? REDUCTION : 1;
  }
}
