/**
 * Compares what a sweep read with the registry, in batches, and reports what differs. A difference counts if it is still
 * there after the lane barrier: a live message that fixes it may still be queued in the lane, and a correction applied
 * before it would emit events for changes that never happened.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { counter } from '@app/platform';
import {
  encodeCommand,
  encodeRetainedReading,
  type Connection,
  type ConnectionDirectory,
  type Retained,
  type SweepRecord,
  type Sweeps,
} from '@app/registry';
import { digestOf } from '../rules/retained-state.js';
import { differs } from '../rules/comparison.js';
import type { LaneBarrier } from './lane-barrier.js';
import type { BackpressuredMailboxWriter } from './backpressured-mailbox-writer.js';
import type { Found } from './sweep-reading.js';

/** What has come through the lane by the first look is applied by then, as a rule, in milliseconds. */
const SECOND_LOOK_MS = 100;
/** Clients of a shard asked about at a time. */
const PAGE = 500;
/** Stored connections of a batch that are in memory at a time, of all shards together: about so many bytes. */
const STORED_BYTES = 2_097_152;

const passed = counter('sweep_clients_passed_on', 'Clients that sweeps passed on, by why: differing, unseen.', {
  why: ['differing', 'unseen'],
});

export interface ComparingParts {
  barrier: Pick<LaneBarrier, 'pass'>;
  directory: Pick<ConnectionDirectory, 'map' | 'online'>;
  sweeps: Pick<Sweeps, 'reported' | 'rememberReported'>;
  shardCount: number;
  /** Of the cluster: with several, messages of a client may be applied out of order. */
  lanes: number;
  /** Clients may have something retained on more than one topic. */
  severalTopics: boolean;
}

interface Difference {
  found: Found;
  why: 'state' | 'dead-letter';
  /** The registry did not know the client. */
  unknown: boolean;
}

export class Comparing {
  constructor(
    private readonly parts: ComparingParts,
    private readonly record: Pick<SweepRecord, 'differing' | 'unseen'>,
    /** Under this id the results are counted. */
    private readonly runId: string,
    private readonly sender: BackpressuredMailboxWriter,
    private readonly signal: AbortSignal,
  ) {}

  /** @param noted last ids of the mailboxes before the broker was asked */
  async compare(batch: readonly Found[], noted: readonly string[]): Promise<void> {
    const first = await this.differences(batch.map((found) => ({ found })));
    if (first.length === 0) return;
    await this.parts.barrier.pass(this.signal);
    await sleep(SECOND_LOOK_MS, undefined, { signal: this.signal });
    const second = await this.differences(first);
    const shards = Array.from(byShard(second, ({ found }) => found.shard));
    await Promise.all(shards.map(([shard, differing]) => this.passOn(shard, differing, noted[shard] ?? '0-0')));
  }

  /** Has every client verified that is online in the registry and was not seen: absence proves nothing. */
  async verifyUnseen(saw: (clientId: string) => boolean): Promise<void> {
    for (let shard = 0; shard < this.parts.shardCount; shard++) {
      for await (const ids of this.parts.directory.online(shard, PAGE)) {
        this.signal.throwIfAborted();
        const unseen = ids.filter((id) => !saw(id)).map((id) => this.verify(id));
        await this.sender.send(shard, unseen);
        this.record.unseen += unseen.length;
        passed.inc({ why: 'unseen' }, unseen.length);
      }
    }
  }

  private async differences(
    batch: readonly (Pick<Difference, 'found'> & Partial<Difference>)[],
  ): Promise<Difference[]> {
    this.signal.throwIfAborted();
    const at = Date.now();
    const shards = byShard(batch, ({ found }) => found.shard);
    const bytes = Math.ceil(STORED_BYTES / shards.size);
    const compared = Array.from(shards, ([shard, some]) => {
      const ids = some.map(({ found }) => found.clientId);
      const difference = (connection: Connection | undefined, i: number): Difference[] => {
        const one = some[i];
        if (one === undefined) return [];
        const { found, why: before, unknown } = one;
        // Of one who is still not known, nothing else can be said than at the first look.
        const why = unknown && connection === undefined ? before : differs(connection, found, at, this.parts.lanes);
        return why === undefined ? [] : [{ found, why, unknown: connection === undefined }];
      };
      return this.parts.directory.map(shard, ids, difference, bytes);
    });
    return (await Promise.all(compared)).flat(2);
  }

  private async passOn(shard: number, differing: readonly Difference[], noted: string): Promise<void> {
    const { sweeps } = this.parts;
    const deadLetters = new Map(
      differing.flatMap(({ found, why }) =>
        why === 'dead-letter' ? [[found.clientId, digestOf(found.body)] as const] : [],
      ),
    );
    const reported = await sweeps.reported(shard, deadLetters);
    const items = differing.flatMap(({ found }) => (reported.has(found.clientId) ? [] : [this.itemOf(found, noted)]));
    await this.sender.send(shard, items);
    await sweeps.rememberReported(shard, deadLetters);
    this.record.differing += items.length;
    passed.inc({ why: 'differing' }, items.length);
  }

  /** The reading itself, or a request to verify if the client may have retained something on another topic too. */
  private itemOf({ clientId, topic, body, refused }: Found, noted: string): string {
    if (this.parts.severalTopics) return this.verify(clientId);
    const retained: Retained = { topic, body, ...(refused && { refused }) };
    return encodeRetainedReading({ clientId, attempt: '', retained: [retained], sweep: this.runId, noted });
  }

  private verify(clientId: string): string {
    return encodeCommand({ clientId, command: { do: 'verify', reason: 'sweep', sweep: this.runId } });
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
