/**
 * Limits the memory of Redis that messages use: none are stored above MEMORY_HIGH_WATER, and one account or key (the payer) may
 * use only a part of all shards. Both are read once a second. So a check costs no round trip, and a payer can exceed its part by
 * what all gateways accept from it in a second or two.
 */
import {
  counter,
  gauge,
  isRedisError,
  type Logger,
  type MemoryMark,
  type MemoryWatch,
  type Redis,
} from '@app/platform';
import { SHARD_OUTBOX_BYTES, bytesOfPayers, type Charge, type RegistryKeys } from '@app/registry';

const SUM_EVERY_MS = 1000;
/** Most payers whose bytes are added up, and payers per command. */
const MAX_PAYERS = 10_000;
const PAYERS_AT_ONCE = 500;
/** Part of the `maxmemory` of Redis that all unfinished messages may take. */
const OUTBOXES_SHARE = 0.4;
/** Part of all shards that one payer may take. */
const PAYER_SHARE = 0.25;

const failedSums = counter('account_sums_failed', 'Times the bytes of accounts and keys could not be added up.');

export interface StorageLimits {
  shardCount: number;
  highWater: MemoryMark;
  /** Undefined: computed from the `maxmemory` of Redis. */
  shardBytes: number | undefined;
  /** Undefined: a quarter of all shards. */
  accountBytes: number | undefined;
}

export class StorageBudget {
  /** Payers that have sent since the last sum. */
  private active = new Set<string>();
  private full = new Set<string>();
  private timer: NodeJS.Timeout | undefined;
  private summing: Promise<void> | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly memory: MemoryWatch,
    private readonly limits: StorageLimits,
    private readonly logger: Logger,
  ) {
    gauge(
      'storage_full',
      'Whether a Redis is above MEMORY_HIGH_WATER, so that new messages are refused (1) or not (0).',
      [],
      function () {
        this.set(memory.anyAbove(limits.highWater) ? 1 : 0);
      },
    );
  }

  async start(): Promise<void> {
    this.timer ??= setInterval(() => void this.sum(), SUM_EVERY_MS).unref();
    await this.memory.start();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.memory.stop();
    await this.summing;
  }

  /** Most bytes of the unfinished messages of one shard. */
  get shardBytes(): number {
    const { shardBytes, shardCount } = this.limits;
    if (shardBytes !== undefined) return shardBytes;
    const { maxBytes } = this.memory;
    return maxBytes === undefined ? SHARD_OUTBOX_BYTES : Math.floor((OUTBOXES_SHARE * maxBytes) / shardCount);
  }

  /** Most bytes of the unfinished messages of one account or key. */
  get accountBytes(): number {
    const { accountBytes, shardCount } = this.limits;
    return accountBytes ?? Math.floor(PAYER_SHARE * this.shardBytes * shardCount);
  }

  chargeOf(payer: string, shard: number): Charge {
    if (this.active.size < MAX_PAYERS) this.active.add(payer);
    if (this.memory.isAbove(this.limits.highWater, shard)) return { payer, refuse: 'storage-full' };
    return { payer, refuse: this.full.has(payer) ? 'account-full' : undefined };
  }

  /** Adds up the bytes of the payers that have sent messages or are full. Never rejects, since no caller handles it. */
  sum(): Promise<void> {
    this.summing ??= this.sumActive()
      .catch((error: unknown) => {
        failedSums.inc();
        const level = isRedisError(error) ? 'debug' : 'error';
        this.logger[level]({ err: error }, 'the bytes of accounts could not be added up; next try in a second');
      })
      .finally(() => (this.summing = undefined));
    return this.summing;
  }

  private async sumActive(): Promise<void> {
    const payers = [...this.active];
    this.active = new Set();
    const full = new Set<string>();
    let firstFailure: Error | undefined;
    for (let from = 0; from < payers.length; from += PAYERS_AT_ONCE) {
      const part = payers.slice(from, from + PAYERS_AT_ONCE);
      const { sums, failure } = await bytesOfPayers(this.redis, this.keys, this.limits.shardCount, part);
      firstFailure ??= failure;
      for (const [i, payer] of part.entries()) {
        // A payer that was full may still be full on the shards that could not be read.
        const isKept = failure !== undefined && this.full.has(payer);
        if (isKept || (sums[i] ?? 0) >= this.accountBytes) full.add(payer);
        if (failure !== undefined) this.active.add(payer);
      }
    }
    // Keep adding up a full payer until it is no longer full, even if it sends nothing.
    for (const payer of full) this.active.add(payer);
    this.full = full;
    if (firstFailure !== undefined) throw firstFailure;
  }
}
