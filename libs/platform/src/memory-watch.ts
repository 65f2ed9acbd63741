/**
 * How full the masters of Redis are, read from each once a second: nobody asks for it on the way of a request. Until
 * the first answer, and for a master that has no `maxmemory`, nothing is above a share of it.
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
  /** What Redis compares with its `maxmemory`. */
  usedBytes: number;
  /** Undefined if Redis has no limit. */
  maxBytes: number | undefined;
}

export class MemoryWatch {
  private masters = new Map<string, MasterMemory>();
  /** The hash slot of each shard, on a Redis Cluster. */
  private slots: number[] = [];
  private timer: NodeJS.Timeout | undefined;
  private readonly readings = new Map<string, Promise<void>>();

  /** @param keys a key of each shard, by its number */
  constructor(
    private readonly redis: Redis,
    private readonly keys: readonly string[],
    private readonly logger: Logger,
  ) {}

  /** Resolves when the masters have been read for the first time, or could not be. */
  async start(): Promise<void> {
    this.timer ??= setInterval(() => void this.read(), READ_EVERY_MS).unref();
    await this.read();
  }

  /** A reading that is under way is left to end by itself: it may wait for a Redis that is away. */
  stop(): void {
    clearInterval(this.timer);
  }

  /** What all masters may take together; undefined if one has no limit, or none has been read. */
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

  /** Whether any master is. */
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

  /** One reading of a master at a time: while it is slow, or away, it keeps no other from being read. */
  private readMaster(name: string, master: RedisServer): Promise<void> {
    let reading = this.readings.get(name);
    if (reading === undefined) {
      reading = master
        .info('memory')
        .then((info) => void this.masters.set(name, memoryOf(info)))
        .catch((error: unknown) => this.logger.debug({ err: error, master: name }, 'the memory of Redis was not read'))
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
      this.logger.debug({ err: error }, 'the hash slots of the shards are not known; next try in a second');
    }
  }
}

function addressOf({ options: { host, port } }: RedisServer): string {
  return `${host}:${port}`;
}

function memoryOf(info: string): MasterMemory {
  const number = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0);
  const max = number('maxmemory');
  return {
    usedBytes: number('used_memory') - number('mem_not_counted_for_evict'),
    maxBytes: max === 0 ? undefined : max,
  };
}

function isOver({ usedBytes, maxBytes }: MasterMemory, mark: MemoryMark): boolean {
  if ('bytes' in mark) return usedBytes > mark.bytes;
  return maxBytes !== undefined && usedBytes > mark.share * maxBytes;
}
