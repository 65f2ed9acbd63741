/**
 * How much memory the masters of Redis use. Each is read once a second, so that no request has to wait for it. A master that
 * has not been read yet, or has no `maxmemory`, is below every mark that is a share.
 */
import type { Redis as RedisServer } from 'ioredis';
import type { Logger } from './logger.js';
import { isCluster, mastersOf, type Redis } from './redis.js';

const READ_EVERY_MS = 1000;

/** A share of `maxmemory`, or a number of bytes. */
export type MemoryMark = { share: number } | { bytes: number };

/** Reads `0.85`, or a number of bytes from 1,048,576 on. @throws Error */
export function parseMemoryMark(text: string): MemoryMark {
  const value = /^\d{1,15}(\.\d{1,6})?$/.test(text) ? Number(text) : NaN;
  if (value > 0 && value <= 1) return { share: value };
  if (Number.isInteger(value) && value >= 1_048_576) return { bytes: value };
  throw new Error('must be a share of maxmemory, such as 0.85, or a number of bytes from 1048576 on');
}

export interface MasterMemory {
  /** The number that Redis compares with its `maxmemory`. */
  usedBytes: number;
  /** Undefined if Redis has no limit. */
  maxBytes: number | undefined;
}

export class MemoryWatch {
  private masters = new Map<string, MasterMemory>();
  /** On a Redis Cluster, the hash slot of each shard. */
  private slots: number[] = [];
  private timer: NodeJS.Timeout | undefined;
  private readonly readings = new Map<string, Promise<void>>();

  /** @param keys one key of each shard, by the shard's number */
  constructor(
    private readonly redis: Redis,
    private readonly keys: readonly string[],
    private readonly logger: Logger,
  ) {}

  /** Resolves when the first reading of all masters has succeeded or failed. */
  async start(): Promise<void> {
    this.timer ??= setInterval(() => void this.read(), READ_EVERY_MS).unref();
    await this.read();
  }

  /** Does not wait for a pending reading, because Redis may be away. */
  stop(): void {
    clearInterval(this.timer);
  }

  /** The sum of `maxmemory` of all masters; undefined if one has no limit, or none has been read. */
  get maxBytes(): number | undefined {
    let sum = 0;
    for (const { maxBytes } of this.masters.values()) {
      if (maxBytes === undefined) return undefined;
      sum += maxBytes;
    }
    return sum === 0 ? undefined : sum;
  }

  /** Whether the master that holds a shard is above the mark. */
  isAbove(mark: MemoryMark, shard: number): boolean {
    const memory = this.masters.get(this.masterOf(shard));
    return memory !== undefined && isOver(memory, mark);
  }

  /** Whether any master is above the mark. */
  anyAbove(mark: MemoryMark): boolean {
    return [...this.masters.values()].some((memory) => isOver(memory, mark));
  }

  private masterOf(shard: number): string {
    if (!isCluster(this.redis)) return '';
    const slot = this.slots[shard];
    return (slot === undefined ? undefined : this.redis.slots[slot]?.[0]) ?? '';
  }

  private async read(): Promise<void> {
    const { redis } = this;
    if (redis.status !== 'ready') return;
    const masters = new Map(mastersOf(redis).map((master) => [isCluster(redis) ? addressOf(master) : '', master]));
    for (const name of this.masters.keys()) if (!masters.has(name)) this.masters.delete(name);
    await Promise.all([this.findSlots(), ...Array.from(masters, ([name, master]) => this.readMaster(name, master))]);
  }

  /** One reading of each master at a time, so that a slow master does not delay the others. */
  private readMaster(name: string, master: RedisServer): Promise<void> {
    let reading = this.readings.get(name);
    if (reading === undefined) {
      reading = master
        .info('memory')
        .then((info) => void this.masters.set(name, memoryIn(info)))
        .catch((error: unknown) =>
          this.logger.debug({ err: error, master: name }, 'could not read the memory of Redis'),
        )
        .finally(() => this.readings.delete(name));
      this.readings.set(name, reading);
    }
    return reading;
  }

  private async findSlots(): Promise<void> {
    const { redis } = this;
    if (!isCluster(redis) || this.slots.length > 0) return;
    try {
      this.slots = await Promise.all(this.keys.map((key) => redis.cluster('KEYSLOT', key)));
    } catch (error) {
      this.logger.debug({ err: error }, 'could not read the hash slots of the shards; trying again in a second');
    }
  }
}

/** Reads the memory of each master now. */
export async function readMemory(redis: Redis): Promise<MasterMemory[]> {
  return Promise.all(mastersOf(redis).map(async (master) => memoryIn(await master.info('memory'))));
}

function addressOf({ options: { host, port } }: RedisServer): string {
  return `${host}:${port}`;
}

function memoryIn(info: string): MasterMemory {
  const number = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  const max = number('maxmemory');
  return {
    usedBytes: number('used_memory') - number('mem_not_counted_for_evict'),
    maxBytes: max === 0 ? undefined : max,
  };
}

export function isOver({ usedBytes, maxBytes }: MasterMemory, mark: MemoryMark): boolean {
  if ('bytes' in mark) return usedBytes > mark.bytes;
  return maxBytes !== undefined && usedBytes > mark.share * maxBytes;
}
