import type { Redis } from '@app/platform';
import { unpack } from './mailbox.js';
import type { Deliver, MailboxReader } from './owner-loop.js';
import { ReadSize } from './read-size.js';
import type { ShardingKeys } from './sharding-keys.js';

/** A read ends at the latest after this, so that shards granted meanwhile are read too. */
const BLOCK_MS = 250;

/** One blocking XREAD over all mailboxes. The next one starts when all entries of the last one have been taken. */
export class BlockingReader implements MailboxReader {
  private readonly size = new ReadSize();

  constructor(
    /** A connection of its own. */
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
  ) {}

  async read(positions: ReadonlyMap<number, string>, deliver: Deliver): Promise<void> {
    const shards = new Map(Array.from(positions.keys(), (shard) => [this.keys.mailbox(shard), shard]));
    const streams = [...shards.keys(), ...positions.values()];
    const reply = await this.redis.xread('COUNT', this.size.count, 'BLOCK', BLOCK_MS, 'STREAMS', ...streams);
    if (reply === null) return;
    const batches = reply.map(([, raw]) => raw.map(([id, [, packed = '']]) => unpack(id, packed)));
    this.size.brought(batches, positions.size);
    await Promise.all(reply.map(([stream], i) => deliver(shards.get(stream) ?? NaN, batches[i] ?? [])));
  }
}
