/**
 * Runs the shards this process owns: one blocking read over all their mailboxes, and each shard's batch handed to
 * its actor. A shard's batches are handled one after the other; shards side by side.
 *
 * - The next read starts when all actors of the last one are done, so memory holds one read at most.
 * - A refused write ends the shard here and tells the ownership (S2); any other failure makes the shard start
 *   again from its stored position, after a back-off.
 */
import { Backoff, type Logger, type Redis } from '@app/platform';
import type { FencedCommit } from './fenced-commit.js';
import { unpack, type MailboxEntry } from './mailbox.js';
import { StaleOwnerError, type Grant } from './ownership.js';
import type { ShardingKeys } from './sharding-keys.js';

/** Handles one shard's entries, in order. */
export interface ShardHandler {
  /** Applies the entries after `position`; resolves when they are committed up to the last one. */
  handle(grant: Grant, position: string, entries: readonly MailboxEntry[]): Promise<void>;
}

interface OwnedShard {
  grant: Grant;
  position: string;
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
    private readonly onLost: (grant: Grant) => void,
    private readonly logger: Logger,
  ) {}

  async add(grant: Grant): Promise<void> {
    this.shards.set(grant.index, { grant, position: await this.commit.position(grant.index) });
    this.running ??= this.run();
  }

  remove(grant: Grant): void {
    if (this.shards.get(grant.index)?.grant === grant) this.shards.delete(grant.index);
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
        await this.readPositions();
      }
    }
  }

  private async readOnce(): Promise<void> {
    const shards = [...this.shards.values()];
    if (shards.length === 0) return this.pause(BLOCK_MS);
    const streams = shards.map(({ grant }) => this.keys.mailbox(grant.index));
    const from = shards.map(({ position }) => position);
    const reply = await this.redis.xread('COUNT', READ_COUNT, 'BLOCK', BLOCK_MS, 'STREAMS', ...streams, ...from);
    if (reply === null) return;
    const byStream = new Map(shards.map((shard) => [this.keys.mailbox(shard.grant.index), shard]));
    const outcomes = await Promise.allSettled(
      reply.map(async ([stream, raw]) => {
        const shard = byStream.get(stream);
        if (shard !== undefined)
          await this.handle(
            shard,
            raw.map(([id, [, packed = '']]) => unpack(id, packed)),
          );
      }),
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  private async handle(shard: OwnedShard, entries: MailboxEntry[]): Promise<void> {
    const last = entries.at(-1);
    if (last === undefined || this.shards.get(shard.grant.index) !== shard) return;
    try {
      await this.handler.handle(shard.grant, shard.position, entries);
      shard.position = last.id;
    } catch (error) {
      if (!(error instanceof StaleOwnerError)) throw error;
      this.remove(shard.grant);
      this.onLost(shard.grant);
    }
  }

  private async readPositions(): Promise<void> {
    for (const shard of this.shards.values()) {
      if (this.stopping.signal.aborted) return;
      try {
        shard.position = await this.commit.position(shard.grant.index);
      } catch (error) {
        this.logger.warn({ err: error, shard: shard.grant.index }, 'reading the position failed');
      }
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
