/**
 * Runs the shards that this process owns: reads their mailboxes together, and passes each shard's batch to the handler.
 * Batches of one shard are handled one after another, and those of several shards concurrently.
 *
 * - A shard is read again when its last batch is done, so memory holds at most one batch for each shard.
 * - If Redis refuses a write as stale, the shard is reported to the ownership as lost (S2). After any other failure the
 *   shard starts again from its stored position, after a back-off. Neither affects other shards.
 */
import { Backoff, type Logger, pause, retry, sharedAbort } from '@app/platform';
import type { MailboxEntry } from './mailbox.js';
import type { StreamReader } from './shard-stream.js';
import { StaleOwnerError, type Grant, type Ownership } from './ownership.js';

export interface ShardHandler {
  /** Applies the entries after `position`, in order. Resolves when all of them are committed. */
  handle(grant: Grant, position: string, entries: readonly MailboxEntry[]): Promise<void>;
  /** This process no longer owns the shard: removes what is cached of it. */
  forget(grant: Grant): void;
}

export interface Positions {
  /** Id of the last mailbox entry that was applied to the shard. */
  position(shard: number): Promise<string>;
}

interface OwnedShard {
  grant: Grant;
  /** Undefined if the shard must not be read now: it is lost, or waits for its next attempt. */
  position: string | undefined;
  backoff: Backoff;
  /** Settles when the current batch is done. */
  handling: Promise<void>;
}

export class OwnerLoop {
  private readonly shards = new Map<number, OwnedShard>();
  private readonly backoff = new Backoff(50, 2000, 5000);
  private running: Promise<void> | undefined;
  private readonly stopping = sharedAbort();
  /** Ends the wait for a shard that can be read. */
  private wake: () => void = () => undefined;

  constructor(
    private readonly reader: StreamReader<MailboxEntry>,
    private readonly positions: Positions,
    private readonly handler: ShardHandler,
    private readonly ownership: Pick<Ownership, 'mayAct' | 'lost'>,
    private readonly logger: Logger,
  ) {}

  async add(grant: Grant): Promise<void> {
    this.shards.set(grant.index, {
      grant,
      position: await this.positions.position(grant.index),
      backoff: new Backoff(50, 2000, 5000),
      handling: Promise.resolve(),
    });
    this.changed();
    this.running ??= this.run();
  }

  /** Stops reading the shard. Resolves when its current batch is done. */
  async remove(grant: Grant): Promise<void> {
    const shard = this.shards.get(grant.index);
    if (shard?.grant !== grant) return;
    this.shards.delete(grant.index);
    await shard.handling;
    this.handler.forget(grant);
  }

  /** Stops reading. Resolves when all current batches are done. */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.changed();
    await this.running;
    await Promise.all(Array.from(this.shards.values(), ({ handling }) => handling));
  }

  /** Another shard can be read, or none is to be read any more: the pending read knows nothing of it. */
  private changed(): void {
    this.wake();
    this.reader.interrupt();
  }

  private async run(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        await this.readOnce();
        this.backoff.succeeded();
      } catch (error) {
        const waitMs = this.backoff.failed();
        this.logger.warn({ err: error, wait_ms: waitMs }, 'reading mailboxes failed; trying again');
        await pause(waitMs, this.stopping.signal);
      }
    }
  }

  private async readOnce(): Promise<void> {
    const readable = new Map<number, OwnedShard>();
    const positions = new Map<number, string>();
    for (const [index, shard] of this.shards) {
      if (shard.position === undefined) continue;
      readable.set(index, shard);
      positions.set(index, shard.position);
    }
    if (positions.size === 0) {
      await new Promise<void>((resolve) => (this.wake = resolve));
      return;
    }
    await this.reader.read(positions, async (index, entries) => {
      const shard = readable.get(index);
      const position = positions.get(index);
      if (shard === undefined || position === undefined) return;
      shard.handling = this.handle(shard, position, entries);
      await shard.handling;
    });
  }

  /** Waits, then reads the shard's position from Redis, because the cached one may be wrong. */
  private async restart(shard: OwnedShard, waitMs: number): Promise<void> {
    await pause(waitMs, this.stopping.signal);
    const { index } = shard.grant;
    const isOwned = (): boolean => this.shards.get(index) === shard;
    shard.position = await retry(async () => (isOwned() ? this.positions.position(index) : undefined), {
      backoff: () => shard.backoff.failed(),
      signal: this.stopping.signal,
      onRetry: (error, retryMs) =>
        this.logger.warn({ err: error, shard: index, wait_ms: retryMs }, 'could not read the position; trying again'),
    });
    this.changed();
  }

  private async handle(shard: OwnedShard, position: string, entries: readonly MailboxEntry[]): Promise<void> {
    const { grant } = shard;
    const last = entries.at(-1);
    if (last === undefined || this.shards.get(grant.index) !== shard || this.stopping.signal.aborted) return;
    if (!this.ownership.mayAct(grant)) {
      shard.position = undefined;
      this.ownership.lost(grant, 'overdue');
      return;
    }
    try {
      await this.handler.handle(grant, position, entries);
      shard.position = last.id;
      shard.backoff.succeeded();
    } catch (error) {
      if (error instanceof StaleOwnerError) {
        // The ownership calls `remove` then.
        shard.position = undefined;
        this.ownership.lost(grant);
        return;
      }
      const waitMs = shard.backoff.failed();
      shard.position = undefined;
      void this.restart(shard, waitMs);
      this.logger.error(
        { err: error, shard: grant.index, epoch: grant.epoch, wait_ms: waitMs },
        'batch failed; trying again',
      );
    }
  }
}
