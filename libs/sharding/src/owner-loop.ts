/**
 * Runs the shards this process owns: one blocking read over all their mailboxes, and each shard's batch handed to
 * its actor. A shard's batches are handled one after the other; shards side by side.
 *
 * - The next read starts when all actors of the last one are done, so memory holds one read at most.
 * - A refused write ends the shard here and tells the ownership (S2); any other failure makes this shard, and no
 *   other, start again from its stored position after a back-off.
 */
import { Backoff, type Logger, type Redis } from '@app/platform';
import type { FencedCommit } from './fenced-commit.js';
import { unpack, type MailboxEntry } from './mailbox.js';
import { StaleOwnerError, type Grant, type Ownership } from './ownership.js';
import type { ShardingKeys } from './sharding-keys.js';

/** Handles one shard's entries, in order. */
export interface ShardHandler {
  /** Applies the entries after `position`; resolves when they are committed up to the last one. */
  handle(grant: Grant, position: string, entries: readonly MailboxEntry[]): Promise<void>;
  /** The shard is no longer this process': what is remembered of it goes. */
  forget(grant: Grant): void;
}

interface OwnedShard {
  grant: Grant;
  /** Undefined where it has to be read before the next batch. */
  position: string | undefined;
  backoff: Backoff;
  /** Not read before this time of the monotonic clock. */
  pausedUntil: number;
  /** The batch in hand; settles when it is done. */
  handling: Promise<void>;
}

/** Entries of one shard in one read: bounds memory at count × largest message × shards. */
const READ_COUNT = 128;
/** A blocking read ends at the latest after this, so that shards granted meanwhile are read too. */
const BLOCK_MS = 250;

export class OwnerLoop {
  private readonly shards = new Map<number, OwnedShard>();
  private readonly backoff = new Backoff(50, 2000, 5000);
  private running: Promise<void> | undefined;
  private readonly stopping = new AbortController();

  constructor(
    /** A connection of the loop's own: it blocks. */
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
    private readonly commit: FencedCommit,
    private readonly handler: ShardHandler,
    private readonly ownership: Pick<Ownership, 'mayAct' | 'lost'>,
    private readonly logger: Logger,
  ) {}

  async add(grant: Grant): Promise<void> {
    this.shards.set(grant.index, {
      grant,
      position: await this.commit.position(grant.index),
      backoff: new Backoff(50, 2000, 5000),
      pausedUntil: 0,
      handling: Promise.resolve(),
    });
    this.running ??= this.run();
  }

  /** Reads no more for this shard; resolves when the batch in hand is done. */
  async remove(grant: Grant): Promise<void> {
    const shard = this.shards.get(grant.index);
    if (shard?.grant !== grant) return;
    this.shards.delete(grant.index);
    await shard.handling;
    this.handler.forget(grant);
  }

  /** Finishes the batches that are being handled and reads no more. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        await this.readOnce();
        this.backoff.succeeded();
      } catch (error) {
        const waitMs = this.backoff.failed();
        this.logger.warn({ err: error, wait_ms: waitMs }, 'reading mailboxes failed; trying again');
        await this.pause(waitMs);
      }
    }
  }

  private async readOnce(): Promise<void> {
    const shards = await this.readable();
    if (shards.size === 0) return this.pause(BLOCK_MS);
    const streams = [...shards.keys()];
    const from = [...shards.values()].map(({ position }) => position);
    const reply = await this.redis.xread('COUNT', READ_COUNT, 'BLOCK', BLOCK_MS, 'STREAMS', ...streams, ...from);
    if (reply === null) return;
    await Promise.all(
      reply.map(async ([stream, raw]) => {
        const entry = shards.get(stream);
        const entries = raw.map(([id, [, packed = '']]) => unpack(id, packed));
        if (entry === undefined) return;
        entry.shard.handling = this.handle(entry.shard, entry.position, entries);
        await entry.shard.handling;
      }),
    );
  }

  /** The shards to read now, by their stream, each with the position to read from. */
  private async readable(): Promise<Map<string, { shard: OwnedShard; position: string }>> {
    const now = performance.now();
    const readable = new Map<string, { shard: OwnedShard; position: string }>();
    for (const shard of this.shards.values()) {
      if (shard.pausedUntil > now) continue;
      shard.position ??= await this.commit.position(shard.grant.index);
      readable.set(this.keys.mailbox(shard.grant.index), { shard, position: shard.position });
    }
    return readable;
  }

  private async handle(shard: OwnedShard, position: string, entries: MailboxEntry[]): Promise<void> {
    const { grant } = shard;
    const last = entries.at(-1);
    if (last === undefined || this.shards.get(grant.index) !== shard) return;
    if (!this.ownership.mayAct(grant)) {
      this.ownership.lost(grant);
      return;
    }
    try {
      await this.handler.handle(grant, position, entries);
      shard.position = last.id;
      shard.backoff.succeeded();
    } catch (error) {
      if (error instanceof StaleOwnerError) {
        // Its owner is told, who has it removed.
        shard.pausedUntil = Infinity;
        this.ownership.lost(grant);
        return;
      }
      const waitMs = shard.backoff.failed();
      shard.position = undefined;
      shard.pausedUntil = performance.now() + waitMs;
      this.logger.error(
        { err: error, shard: grant.index, epoch: grant.epoch, wait_ms: waitMs },
        'batch failed; trying again',
      );
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, ms);
      const { signal } = this.stopping;
      function done(): void {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      }
      signal.addEventListener('abort', done);
    });
  }
}
