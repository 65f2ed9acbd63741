/**
 * A shard's mailbox: a Redis Stream whose entries wait for the owner. Entries of a lane are appended with the
 * lane's fence and a sequence number, so that neither a zombie nor a retry appends late or twice (S2).
 */
import type { NoArgs, Redis } from '@app/platform';
import { commands } from './commands.js';
import { StaleOwnerError, type Grant } from './ownership.js';
import type { StreamEntry } from './shard-stream.js';
import type { ShardingKeys } from './sharding-keys.js';

/** What a lane received. */
export interface LaneItem {
  /** Of the entry. What it means is not known here. */
  text: string;
  /** Names the delivery, `<id>.<digest>`: what is delivered again, because it was not acknowledged, has the same name. */
  delivery?: string;
  /** It is delivered again, and may have been appended before. */
  again?: boolean;
}

/** One field of a stream: each further field would cost its encoding, its storage and its decoding a message. */
export type MailboxEntry = StreamEntry;

/** Whether entry `a` is later than entry `b`. */
export function isAfter(a: string, b: string): boolean {
  const [aMs = '', aNumber = ''] = a.split('-');
  const [bMs = '', bNumber = ''] = b.split('-');
  return aMs === bMs ? Number(aNumber) > Number(bNumber) : Number(aMs) > Number(bMs);
}

/** When Redis stored the entry, epoch milliseconds of its clock. */
export function storedAt(entryId: string): number {
  return Number(entryId.slice(0, entryId.indexOf('-')));
}

export type AppendOutcome = 'appended' | 'seen' | 'full';

const appendFromLane = commands.load<
  { mailbox: string; lane_marks: string; deliveries: string },
  {
    lane: number;
    fence: string;
    sequence: number;
    limit: number;
    remembered: number;
    count: number;
    bytes: number;
    batch: readonly string[];
  },
  number
>('append-from-lane');

const announceLane = commands.load<{ lane_marks: string }, { lane: number; epoch: number; fence: string }, 0 | 1>(
  'announce-lane',
);

const appendEntries = commands.load<
  { mailbox: string },
  { limit: number; bytes: number; entries: readonly string[] },
  number
>('append-entries');

const lastEntryId = commands.load<{ mailbox: string; position: string }, NoArgs, string>('last-entry-id');

/** Bytes that a mailbox may take in Redis, unless set otherwise. */
const MAILBOX_BYTES = 16_777_216;

export interface MailboxRoom {
  /** A mailbox that takes as many bytes is full; the last append may exceed them. */
  bytes: number;
  /** Whether Redis has no memory for what lanes bring to the shard: then its mailbox counts as full. */
  isClosed?: (shard: number) => boolean;
}

/** The writing side of all mailboxes. */
export class Mailboxes {
  constructor(
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
    /** Most entries a mailbox may hold; past it appends are refused as `full`. */
    private readonly limit: number,
    /** Deliveries remembered for each lane and shard: not fewer than a lane may leave unacknowledged. */
    private readonly remembered = 2000,
    private readonly room: MailboxRoom = { bytes: MAILBOX_BYTES },
  ) {}

  /** Fences out older owners of a lane on every shard, before its new owner reads from the broker. */
  async announce(lane: Grant, shardCount: number): Promise<void> {
    const args = { lane: lane.index, epoch: lane.epoch, fence: lane.fence };
    const accepted = await Promise.all(
      Array.from({ length: shardCount }, (_, shard) =>
        announceLane.run(this.redis, { lane_marks: this.keys.laneFences(shard) }, args),
      ),
    );
    if (accepted.includes(0)) throw new StaleOwnerError(lane);
  }

  /** The lane has no session at the broker any more: what was delivered through it cannot be delivered again. */
  async forgetDeliveries(lane: number, shardCount: number): Promise<void> {
    const shards = Array.from({ length: shardCount }, (_, shard) => shard);
    await Promise.all(shards.map((shard) => this.redis.unlink(this.keys.deliveries(shard, lane))));
  }

  /**
   * Appends one batch for each shard in one round trip. Repeating a call with the same `sequence` is safe: what
   * was appended before is `seen`.
   * What is delivered again and was appended before is left out.
   * @returns the outcome a shard, each batch whole or not at all, and how many items were left out
   * @throws StaleOwnerError if the lane has a newer owner; an Error of Redis if the outcome is unknown.
   */
  async append(
    lane: Grant,
    sequence: number,
    batches: ReadonlyMap<number, readonly LaneItem[]>,
  ): Promise<{ outcomes: Map<number, AppendOutcome>; repeats: number }> {
    // All shards' outcomes are awaited even if one fails: the batch may be repeated only when nothing of it is under way.
    const outcomes = await Promise.allSettled(
      Array.from(batches, async ([shard, items]) => {
        const { limit, remembered, room } = this;
        if (room.isClosed?.(shard) === true) return [shard, -2] as const;
        const batch: string[] = [];
        for (const { delivery = '', again = false } of items)
          batch.push(again && delivery !== '' ? `!${delivery}` : delivery);
        for (const item of items) batch.push(item.text);
        const { index, fence } = lane;
        const args = { lane: index, fence, sequence, limit, remembered, count: items.length, bytes: room.bytes, batch };
        const keys = {
          mailbox: this.keys.mailbox(shard),
          lane_marks: this.keys.laneFences(shard),
          deliveries: this.keys.deliveries(shard, index),
        };
        return [shard, await appendFromLane.run(this.redis, keys, args)] as const;
      }),
    );
    const replies = outcomes.map((outcome) => {
      if (outcome.status === 'rejected') throw outcome.reason;
      return outcome.value;
    });
    if (replies.some(([, reply]) => reply === -1)) throw new StaleOwnerError(lane);
    return {
      outcomes: new Map(
        replies.map(([shard, reply]) => [shard, reply > 0 ? 'appended' : reply === 0 ? 'seen' : 'full']),
      ),
      repeats: replies.reduce((sum, [, reply]) => sum + Math.max(0, reply - 1), 0),
    };
  }

  /** Appends entries of a caller that owns no lane, in order. @returns how many found room. */
  async sendAll(shard: number, texts: readonly string[]): Promise<number> {
    if (texts.length === 0) return 0;
    const args = { limit: this.limit, bytes: this.room.bytes, entries: texts };
    return appendEntries.run(this.redis, { mailbox: this.keys.mailbox(shard) }, args);
  }

  /** Every entry appended up to now has an id up to this one; every later one has a higher. */
  async lastId(shard: number): Promise<string> {
    const keys = { mailbox: this.keys.mailbox(shard), position: this.keys.position(shard) };
    return lastEntryId.run(this.redis, keys, {});
  }

  /** Appends an entry of a caller that owns no lane. @returns false if the mailbox is full. */
  async send(shard: number, text: string): Promise<boolean> {
    return (await this.sendAll(shard, [text])) === 1;
  }
}
