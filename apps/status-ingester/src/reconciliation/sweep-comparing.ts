/**
 * Compares what a sweep read with the registry, in batches, and sends what differs to the mailboxes. A difference counts if it
 * is still there after the lane barrier: a live message that fixes it may still be queued in the lane, and a correction applied
 * before it would emit events for changes that never happened. What would change an online client waits for a second pass, which
 * has to bring the same (see `two-reads.ts`).
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { counter } from '@app/platform';
import { shardOf } from '@app/protocol';
import {
  encodeCommand,
  encodeRetainedReading,
  type Connection,
  type ConnectionDirectory,
  type Retained,
  type SweepRecord,
  type Sweeps,
} from '@app/registry';
import { differs } from '../rules/comparison.js';
import { digestOf } from '../rules/retained-state.js';
import type { BackpressuredMailboxWriter } from './backpressured-mailbox-writer.js';
import type { LaneBarrier } from './lane-barrier.js';
import type { Found, SweepReading } from './sweep-reading.js';
import { TwoReads } from './two-reads.js';

/** After this pause, what came through the lane before the barrier is usually applied. */
const RECHECK_MS = 100;
/** Online clients of a shard that are listed at a time. */
const PAGE = 500;
/** Most unseen clients that are looked at once more when the results have come. */
const MOST_UNSEEN = 10_000;
/** About how many bytes of stored connections are in memory at a time, of all shards together. */
const STORED_BYTES = 2_097_152;

const reportedClients = counter(
  'sweep_clients_reported',
  'Clients that sweeps reported to their shards, by why: differing, unseen.',
  {
    why: ['differing', 'unseen'],
  },
);

export interface ComparingDependencies {
  barrier: Pick<LaneBarrier, 'pass'>;
  directory: Pick<ConnectionDirectory, 'map' | 'online'>;
  sweeps: Pick<Sweeps, 'reported' | 'rememberReported'>;
  shardCount: number;
  /** Number of lanes. With several, messages of a client may be applied out of order. */
  lanes: number;
  /** Whether a client may have retained messages on more than one topic. */
  severalTopics: boolean;
}

type Seen = Pick<SweepReading, 'hasSeen'>;

interface Difference {
  found: Found;
  why: 'state' | 'dead-letter';
  /** The registry did not know the client. */
  unknown: boolean;
  /** The registry had the client online. */
  isOnline: boolean;
}

export class Comparing {
  /** By client, the reading that waits for the next pass. */
  private readonly awaited = new Map<string, TwoReads>();
  /** Clients that should have been seen: they are online, nothing was published for them, and no pass brought them. */
  private readonly unseen: string[] = [];

  constructor(
    private readonly dependencies: ComparingDependencies,
    private readonly record: Pick<SweepRecord, 'differing' | 'unseen'>,
    /** The results of the sweep are counted under these ids: of clients that should have been seen, and of the others. */
    private readonly runIds: { all: string; unseen: string },
    private readonly writer: BackpressuredMailboxWriter,
    private readonly signal: AbortSignal,
  ) {}

  /** Whether a second pass is to confirm what an earlier one brought for the client. */
  isAwaited(clientId: string): boolean {
    return this.awaited.has(clientId);
  }

  /** @param noted ids of the mailboxes: live messages after them take precedence over the batch */
  async compare(batch: readonly Found[], noted: readonly string[]): Promise<void> {
    const before = this.takeAwaited(batch);
    const first = await this.differences(batch.map((found) => ({ found })));
    if (first.length === 0) return;
    await this.dependencies.barrier.pass(this.signal);
    await sleep(RECHECK_MS, undefined, { signal: this.signal });
    const second = await this.differences(first);
    const shards = Array.from(byShard(second, ({ found }) => found.shard));
    await Promise.all(shards.map(([shard, differing]) => this.passOn(shard, differing, noted[shard] ?? '0-0', before)));
  }

  /** To be called after the last pass: no pass has confirmed these readings. Clients that it did not bring count as unseen. */
  async verifyAwaited(reading: Seen): Promise<void> {
    const clients = [...this.awaited.keys()].filter((id) => reading.hasSeen(id));
    this.awaited.clear();
    for (const [shard, ids] of byShard(clients, (id) => shardOf(id, this.dependencies.shardCount))) {
      await this.send(
        shard,
        ids.map((id) => this.verifyCommand(id)),
      );
    }
  }

  /** Requests a verification of every online client that the sweep did not see: absence proves nothing. */
  async verifyUnseen(reading: Pick<SweepReading, 'hasSeen' | 'hasTrace'>): Promise<void> {
    for (let shard = 0; shard < this.dependencies.shardCount; shard++) {
      for await (const ids of this.dependencies.directory.online(shard, PAGE)) {
        this.signal.throwIfAborted();
        const unseen = ids.filter((id) => !reading.hasSeen(id));
        const commands = unseen.map((id) => {
          if (reading.hasTrace(id)) return this.verifyCommand(id);
          if (this.unseen.length < MOST_UNSEEN) this.unseen.push(id);
          return this.verifyCommand(id, this.runIds.unseen);
        });
        await this.writer.send(shard, commands);
        this.record.unseen += unseen.length;
        reportedClients.inc({ why: 'unseen' }, unseen.length);
      }
    }
  }

  /** For how many clients that should have been seen something was published since. */
  countReturned(reading: Pick<SweepReading, 'hasTrace'>): number {
    return this.unseen.filter((id) => reading.hasTrace(id)).length;
  }

  private async differences(
    batch: readonly (Pick<Difference, 'found'> & Partial<Difference>)[],
  ): Promise<Difference[]> {
    this.signal.throwIfAborted();
    const at = Date.now();
    const shards = byShard(batch, ({ found }) => found.shard);
    const bytes = Math.ceil(STORED_BYTES / shards.size);
    const compared = Array.from(shards, ([shard, candidates]) => {
      const ids = candidates.map(({ found }) => found.clientId);
      const difference = (connection: Connection | undefined, i: number): Difference[] => {
        const candidate = candidates[i];
        if (candidate === undefined) return [];
        const { found, why: before, unknown } = candidate;
        // For a client that is still unknown, the result is the same as at the first look.
        const why =
          unknown && connection === undefined ? before : differs(connection, found, at, this.dependencies.lanes);
        const isOnline = connection?.state === 'online';
        return why === undefined ? [] : [{ found, why, unknown: connection === undefined, isOnline }];
      };
      return this.dependencies.directory.map(shard, ids, difference, bytes);
    });
    return (await Promise.all(compared)).flat(2);
  }

  private takeAwaited(batch: readonly Found[]): Map<string, TwoReads> {
    const before = new Map<string, TwoReads>();
    for (const { clientId } of batch) {
      const first = this.awaited.get(clientId);
      if (first !== undefined) before.set(clientId, first);
      this.awaited.delete(clientId);
    }
    return before;
  }

  private async passOn(
    shard: number,
    differing: readonly Difference[],
    noted: string,
    before: ReadonlyMap<string, TwoReads>,
  ): Promise<void> {
    const { sweeps } = this.dependencies;
    const deadLetters = new Map(
      differing.flatMap(({ found, why }) =>
        why === 'dead-letter' ? [[found.clientId, digestOf(found.body)] as const] : [],
      ),
    );
    const reported = await sweeps.reported(shard, deadLetters);
    const items = differing.flatMap((one) =>
      reported.has(one.found.clientId) ? [] : this.itemOf(one, noted, before.get(one.found.clientId)),
    );
    await this.send(shard, items);
    await sweeps.rememberReported(shard, deadLetters);
  }

  private async send(shard: number, items: readonly string[]): Promise<void> {
    await this.writer.send(shard, items);
    this.record.differing += items.length;
    reportedClients.inc({ why: 'differing' }, items.length);
  }

  /**
   * @returns the reading itself, nothing if it waits for a second pass, or a request to verify if the client may have a retained
   * message on another topic, too
   */
  private itemOf({ found, isOnline }: Difference, noted: string, before: TwoReads | undefined): string[] {
    const { clientId, topic, body, refused } = found;
    if (this.dependencies.severalTopics) return [this.verifyCommand(clientId)];
    const retained: Retained[] = [{ topic, body, ...(refused && { refused }) }];
    const reading = { clientId, attempt: '', retained, sweep: this.runIds.all };
    // The first read of a client that is not online counts at once, and its digest is not needed.
    if (!isOnline && before === undefined) return [encodeRetainedReading({ ...reading, noted })];
    const reads = before ?? new TwoReads();
    const counts = reads.add(retained, noted);
    if (isOnline && !counts.isConfirmed) {
      reads.awaitSecond();
      this.awaited.set(clientId, reads);
      return [];
    }
    return [encodeRetainedReading({ ...reading, ...counts })];
  }

  private verifyCommand(clientId: string, sweep = this.runIds.all): string {
    return encodeCommand({ clientId, command: { do: 'verify', reason: 'sweep', sweep } });
  }
}

function byShard<T>(all: readonly T[], shardOf: (one: T) => number): Map<number, T[]> {
  const shards = new Map<number, T[]>();
  for (const one of all) {
    const shard = shardOf(one);
    const others = shards.get(shard);
    if (others === undefined) shards.set(shard, [one]);
    else others.push(one);
  }
  return shards;
}
