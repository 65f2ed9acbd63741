import { RetentionLimits } from './retention-limits.js';

const SETTINGS = {
  SHARD_COUNT: 4,
  SHARD_FINISHED_LIMIT: 1000,
  SHARD_FINISHED_BYTES: undefined,
  EVENT_STREAM_BYTES: 80_000,
  EVENT_RETENTION: 60_000,
  MEMORY_HIGH_WATER: { share: 0.85 },
};

function memory(
  maxBytes: number | undefined,
  fullShards: number[] = [],
): ConstructorParameters<typeof RetentionLimits>[1] {
  return { maxBytes, isAbove: (mark, shard) => 'share' in mark && mark.share < 1 && fullShards.includes(shard) };
}

describe('retention limits of a shard', () => {
  it('large answers are kept while the Redis of the shard is below the mark for new messages', () => {
    const marks: unknown[] = [];
    const isAbove = (mark: unknown, shard: number) => (marks.push(mark), shard === 1);
    const limits = new RetentionLimits(SETTINGS, { maxBytes: undefined, isAbove });
    expect([limits.keepsLargeAnswers(0), limits.keepsLargeAnswers(1)]).toEqual([true, false]);
    expect(marks).toEqual([SETTINGS.MEMORY_HIGH_WATER, SETTINGS.MEMORY_HIGH_WATER]);
  });

  it('the limit of finished messages is a fifth of maxmemory by shards, or the value that is set', () => {
    expect(new RetentionLimits(SETTINGS, memory(2_000_000)).finished(0)).toEqual({ count: 1000, bytes: 100_000 });
    const set = { ...SETTINGS, SHARD_FINISHED_BYTES: 70_000 };
    expect(new RetentionLimits(set, memory(2_000_000)).finished(0)).toEqual({ count: 1000, bytes: 70_000 });
    expect(new RetentionLimits(SETTINGS, memory(undefined)).finished(0)).toEqual({ count: 1000, bytes: 134_217_728 });
  });

  it('the limits of finished messages and of events fall to a quarter while the Redis of the shard is nearly full', () => {
    const limits = new RetentionLimits(SETTINGS, memory(2_000_000, [1]));
    expect(limits.finished(1)).toEqual({ count: 250, bytes: 25_000 });
    expect(limits.finished(0)).toEqual({ count: 1000, bytes: 100_000 });
    const about = { bytes: 80_000, shardCount: 4, retentionMs: 60_000 };
    expect([limits.log(1), limits.log(0)]).toEqual([
      { ...about, part: 4 },
      { ...about, part: 1 },
    ]);
  });
});
