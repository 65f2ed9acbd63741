/**
 * What a shard keeps for readers: finished messages, events and dead letters. Of each a quarter when Redis is nearly full,
 * so that room is freed before it has reached its `maxmemory`.
 */
import type { MemoryMark, MemoryWatch } from '@app/platform';
import { FINISHED_LIMITS, type FinishedLimits } from '@app/registry';
import type { LogLimits } from '@app/sharding';
import type { ShardSettings } from './shard.settings.js';

const NEARLY_FULL: MemoryMark = { share: 0.95 };
const PART = 4;
/** Of Redis' `maxmemory`, what all finished messages may take together. */
const FINISHED_SHARE = 0.2;

type KeptSettings = Pick<
  ShardSettings,
  'SHARD_COUNT' | 'SHARD_FINISHED_LIMIT' | 'SHARD_FINISHED_BYTES' | 'EVENT_STREAM_BYTES' | 'EVENT_RETENTION'
>;

export class RetentionLimits {
  constructor(
    private readonly settings: KeptSettings,
    private readonly memory: Pick<MemoryWatch, 'maxBytes' | 'isAbove'>,
  ) {}

  finished(shard: number): FinishedLimits {
    const { SHARD_COUNT, SHARD_FINISHED_LIMIT: count, SHARD_FINISHED_BYTES } = this.settings;
    const { maxBytes } = this.memory;
    const ofMaximum = maxBytes === undefined ? FINISHED_LIMITS.bytes : (FINISHED_SHARE * maxBytes) / SHARD_COUNT;
    const part = this.partOf(shard);
    return { count: Math.ceil(count / part), bytes: Math.ceil((SHARD_FINISHED_BYTES ?? ofMaximum) / part) };
  }

  log(shard: number): LogLimits {
    const { EVENT_STREAM_BYTES: bytes, SHARD_COUNT: shardCount, EVENT_RETENTION: retentionMs } = this.settings;
    return { bytes, part: this.partOf(shard), shardCount, retentionMs };
  }

  private partOf(shard: number): number {
    return this.memory.isAbove(NEARLY_FULL, shard) ? PART : 1;
  }
}
