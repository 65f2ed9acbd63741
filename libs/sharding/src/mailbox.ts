/**
 * A shard's mailbox: a Redis Stream whose entries wait for the shard's owner. A lane appends with its fence and a sequence
 * number: an append by a former owner of the lane is refused, and a repeated append changes nothing (S2).
 */
import type { Redis } from '@app/platform';
import { AdaptiveBatchSize } from './adaptive-batch-size.js';
import { commands } from './commands.js';
import { KnownDeliveries } from './known-deliveries.js';
import type { LaneItem } from './lane-item.js';
import { StaleOwnerError, type Grant } from './ownership.js';
import type { StreamEntry, StreamReader } from './shard-stream.js';
import type { ShardingKeys } from './sharding-keys.js';
import { streamReader } from './stream-reader.js';

/** An entry has one field: each further field would cost encoding, storage and decoding for every message. */
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
  { mailbox: string; lane_fences: string; deliveries: string },
  {
    lane: number;
    fence: string;
    sequence: number;
    limit: number;
    remembered: number;
    count: number;
    bytes: number;
    compared: number | '';
    batch: readonly string[];
  },
  1 | 0 | -1 | -2 | -3
>('append-from-lane');

const readDeliveries = commands.load<
  { lane_fences: string; deliveries: string },
  { lane: number; fence: string },
  [sequence: string, names: string[]] | null
>('read-deliveries');

const announceLane = commands.load<{ lane_fences: string }, { lane: number; epoch: number; fence: string }, 0 | 1>(
  'announce-lane',
);

const forgetDeliveries = commands.load<
  { lane_fences: string; deliveries: string },
  { lane: number; fence: string },
  0 | 1
>('forget-deliveries');

const appendEntries = commands.load<
  { mailbox: string },
  { limit: number; bytes: number; entries: readonly string[] },
  number
>('append-entries');

const idBefore = commands.load<{ mailbox: string; position: string }, { age_ms: number }, string>('id-before');

const DEFAULT_MAILBOX_BYTES = 16_777_216;

export interface MailboxCapacity {
  /** A mailbox is full from this size in Redis on. The last append may exceed it. */
  bytes: number;
  /** Whether Redis is too short of memory for appends to the shard. The mailbox then counts as full for lanes. */
  isClosed?: (shard: number) => boolean;
}

/** Appends to the mailboxes of all shards. */
export class Mailboxes {
  /** By lane and shard, while redeliveries come. */
  private readonly known = new WeakMap<Grant, Map<number, KnownDeliveries>>();

  constructor(
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
    /** The most entries that a mailbox may hold. */
    private readonly limit: number,
    /** How many deliveries are remembered for each lane and shard: at least the lane's receive maximum. */
    private readonly remembered = 2000,
    private readonly room: MailboxCapacity = { bytes: DEFAULT_MAILBOX_BYTES },
  ) {}

  /**
   * Fences out older owners of a lane on every shard. The new owner calls it before it reads from the broker.
   * @throws StaleOwnerError if a newer owner has announced itself
   */
  async announce(lane: Grant, shardCount: number): Promise<void> {
    const args = { lane: lane.index, epoch: lane.epoch, fence: lane.fence };
    const accepted = await Promise.all(
      Array.from({ length: shardCount }, (_, shard) =>
        announceLane.run(this.redis, { lane_fences: this.keys.laneFences(shard) }, args),
      ),
    );
    if (accepted.includes(0)) throw new StaleOwnerError(lane);
  }

  /**
   * To be called when the lane's session at the broker has ended. Packet ids start again in the next one: a redelivery there may
   * have the id and the text of a delivery of the former session, and is no repeat of it. Shards to which a newer owner of the
   * lane has announced itself keep what they have: it is of a session that this owner has resumed.
   * @returns whether the caller still owns the lane
   */
  async forgetDeliveries(lane: Grant, shardCount: number): Promise<boolean> {
    const { index, fence } = lane;
    this.known.delete(lane);
    const forgotten = await Promise.all(
      Array.from({ length: shardCount }, (_, shard) => {
        const keys = { lane_fences: this.keys.laneFences(shard), deliveries: this.keys.deliveries(shard, index) };
        return forgetDeliveries.run(this.redis, keys, { lane: index, fence });
      }),
    );
    return !forgotten.includes(0);
  }

  /**
   * Appends one batch for each shard in one round trip. Each batch is appended as a whole or not at all. A call may be
   * repeated with the same `sequence`: shards that have the batch already report `seen`. Redeliveries that were appended
   * before are left out.
   * @returns the outcome for each shard, and how many redeliveries were left out
   * @throws StaleOwnerError if the lane has a newer owner; a RedisError if the outcome is unknown
   */
  async append(
    lane: Grant,
    sequence: number,
    batches: ReadonlyMap<number, readonly LaneItem[]>,
  ): Promise<{ outcomes: Map<number, AppendOutcome>; repeats: number }> {
    // Wait for every shard even if one fails: the caller may repeat the call only when no append of it is pending.
    const results = await Promise.allSettled(
      Array.from(batches, async ([shard, items]) => ({
        shard,
        ...(await this.appendTo(shard, lane, sequence, items)),
      })),
    );
    const outcomes = new Map<number, AppendOutcome>();
    let repeats = 0;
    for (const one of results) {
      if (one.status === 'rejected') throw one.reason;
      outcomes.set(one.value.shard, one.value.outcome);
      repeats += one.value.repeats;
    }
    return { outcomes, repeats };
  }

  private async appendTo(
    shard: number,
    lane: Grant,
    sequence: number,
    items: readonly LaneItem[],
  ): Promise<{ outcome: AppendOutcome; repeats: number }> {
    const { limit, remembered, room } = this;
    if (room.isClosed?.(shard) === true) return { outcome: 'full', repeats: 0 };
    const known = await this.toCompare(shard, lane, items);
    // Kept only while redeliveries come, and as long as it is known what Redis has.
    this.known.get(lane)?.delete(shard);
    const fresh = known === undefined ? items : items.filter((item) => !known.isRepeat(item));
    const batch: string[] = [];
    for (const { delivery = '' } of fresh) batch.push(delivery);
    for (const { text } of fresh) batch.push(text);
    const { index, fence } = lane;
    const [count, compared] = [fresh.length, known?.sequence ?? ''] as const;
    const args = { lane: index, fence, sequence, limit, remembered, count, bytes: room.bytes, compared, batch };
    const keys = {
      mailbox: this.keys.mailbox(shard),
      lane_fences: this.keys.laneFences(shard),
      deliveries: this.keys.deliveries(shard, index),
    };
    const reply = await appendFromLane.run(this.redis, keys, args);
    if (reply === -1) throw new StaleOwnerError(lane);
    if (reply === -3) throw new Error(`lane ${index} has other deliveries to shard ${shard} than this process knows`);
    if (reply === 1) known?.appended(sequence, fresh);
    if (reply !== 0 && known !== undefined) this.keep(shard, lane, known);
    if (reply === 1) return { outcome: 'appended', repeats: items.length - fresh.length };
    return { outcome: reply === 0 ? 'seen' : 'full', repeats: 0 };
  }

  /** The deliveries of the lane to the shard, if the items may repeat some of them. */
  private async toCompare(
    shard: number,
    lane: Grant,
    items: readonly LaneItem[],
  ): Promise<KnownDeliveries | undefined> {
    if (!items.some(({ delivery = '', isRedelivery = false }) => isRedelivery && delivery !== '')) return undefined;
    const known = this.known.get(lane)?.get(shard);
    if (known !== undefined) return known;
    const { index, fence } = lane;
    const keys = { lane_fences: this.keys.laneFences(shard), deliveries: this.keys.deliveries(shard, index) };
    const reply = await readDeliveries.run(this.redis, keys, { lane: index, fence });
    if (reply === null) throw new StaleOwnerError(lane);
    return new KnownDeliveries(Number(reply[0]), reply[1], this.remembered);
  }

  private keep(shard: number, lane: Grant, known: KnownDeliveries): void {
    const ofLane = this.known.get(lane);
    if (ofLane === undefined) this.known.set(lane, new Map([[shard, known]]));
    else ofLane.set(shard, known);
  }

  /** Appends entries of a caller that owns no lane, in order. @returns how many were appended before the mailbox was full */
  async sendAll(shard: number, texts: readonly string[]): Promise<number> {
    if (texts.length === 0) return 0;
    const args = { limit: this.limit, bytes: this.room.bytes, entries: texts };
    return appendEntries.run(this.redis, { mailbox: this.keys.mailbox(shard) }, args);
  }

  /** An id below those of all entries that were appended in the last `ageMs` or come later, whether they are applied or not. */
  async idBefore(shard: number, ageMs: number): Promise<string> {
    const keys = { mailbox: this.keys.mailbox(shard), position: this.keys.position(shard) };
    return idBefore.run(this.redis, keys, { age_ms: ageMs });
  }

  /** Appends an entry of a caller that owns no lane. @returns false if the mailbox is full */
  async send(shard: number, text: string): Promise<boolean> {
    return (await this.sendAll(shard, [text])) === 1;
  }
}

/**
 * Reads the mailboxes of many shards together.
 * @param redis a connection that nothing else uses
 * @param control a connection through which reads are interrupted
 */
export function mailboxReader(redis: Redis, control: Redis, keys: ShardingKeys): StreamReader<MailboxEntry> {
  const mailboxes = { key: (shard: number) => keys.mailbox(shard), decode: decodeEntry };
  return streamReader(redis, mailboxes, new AdaptiveBatchSize(), control);
}

function decodeEntry(id: string, [, text = '']: readonly string[]): MailboxEntry {
  return { id, text };
}
