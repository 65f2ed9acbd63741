/**
 * A shard's mailbox: a Redis Stream whose entries wait for the owner. Entries of a lane are appended with the
 * lane's fence and a sequence number, so that neither a zombie nor a retry appends late or twice (S2).
 */
import { RedisScript, type Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from './ownership.js';
import type { ShardingKeys } from './sharding-keys.js';

/** One entry's content. `meta` and `clientId` are of one line; what `meta` and `body` mean is not known here. */
export interface MailboxItem {
  clientId: string;
  meta: string;
  body: string;
}

/** What a lane took in. */
export interface LaneItem extends MailboxItem {
  /** Names the delivery, `<id>.<digest>`: what is delivered again, because it was not acknowledged, has the same name. */
  delivery?: string;
  /** It is delivered again, and may have been appended before. */
  again?: boolean;
}

export interface MailboxEntry extends MailboxItem {
  /** Stream id, `<milliseconds>-<number>`: the order of the mailbox. */
  id: string;
}

// An entry is one field: every further one costs its encoding, its storage and its decoding a message.

function pack({ clientId, meta, body }: MailboxItem): string {
  return `${meta}\n${clientId}\n${body}`;
}

/** Reads what `XREAD` returns for one entry. */
export function unpack(id: string, packed: string): MailboxEntry {
  const first = packed.indexOf('\n');
  const second = packed.indexOf('\n', first + 1);
  return {
    id,
    meta: packed.slice(0, first),
    clientId: packed.slice(first + 1, second),
    body: packed.slice(second + 1),
  };
}

/** Whether entry `a` stands behind entry `b`. */
export function isBehind(a: string, b: string): boolean {
  const [aMs = '', aNumber = ''] = a.split('-');
  const [bMs = '', bNumber = ''] = b.split('-');
  return aMs === bMs ? Number(aNumber) > Number(bNumber) : Number(aMs) > Number(bMs);
}

/** When Redis stored the entry, epoch milliseconds of its clock. */
export function storedAt(entryId: string): number {
  return Number(entryId.slice(0, entryId.indexOf('-')));
}

/**
 * How long a lane's deliveries to a shard are remembered after the last one. They go as a whole: what is delivered again
 * after that is applied again, all of it and in its order.
 */
const DELIVERIES_KEPT_MS = 86_400_000;

export type AppendOutcome = 'appended' | 'seen' | 'full';

/**
 * `is_heavy(length, bytes)`: whether a mailbox with so many entries takes as many bytes as it may. All nodes of the stream
 * are looked at: a microsecond for a short mailbox, a few hundred for one of 16 MiB.
 */
const HEAVY_LUA = `
local function is_heavy(length, bytes)
  return length > 0 and redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0) >= tonumber(bytes)
end`;

/**
 * KEYS mailbox, lane marks, deliveries · ARGV lane, fence, sequence, limit, deliveries remembered, count, bytes,
 *      then each delivery ('!' before one that comes again, '' for none), then each packed entry
 * → 1 and more: appended, one more for each that had been before; 0 seen before; -1 not the owner; -2 mailbox full.
 * An owner has announced itself; where its mark is gone, Redis has lost it, and with it the right to append.
 * Whether a delivery was appended before is asked of the last one with its id: ids are used again.
 */
const appendAsLane = new RedisScript<number>(
  'ccAppend',
  `${HEAVY_LUA}
   local mark = redis.call('HGET', KEYS[2], ARGV[1])
   if not mark then return -1 end
   local fence, sequence = string.match(mark, '^(.*):(%d+)$')
   if fence ~= ARGV[2] then return -1 end
   if tonumber(ARGV[3]) <= tonumber(sequence) then return 0 end
   local count = tonumber(ARGV[6])
   local length = redis.call('XLEN', KEYS[1])
   if length + count > tonumber(ARGV[4]) or is_heavy(length, ARGV[7]) then return -2 end
   local known, fresh, repeats = nil, {}, 0
   for i = 1, count do
     local delivery, repeated = ARGV[7 + i], false
     if string.sub(delivery, 1, 1) == '!' then
       delivery = string.sub(delivery, 2)
       if not known then
         known = {}
         for _, one in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do
           local id, digest = string.match(one, '^(%d+)%.(.*)$')
           known[id] = digest
         end
       end
       local id, digest = string.match(delivery, '^(%d+)%.(.*)$')
       repeated = known[id] == digest
     end
     if repeated then
       repeats = repeats + 1
     else
       redis.call('XADD', KEYS[1], '*', 'entry', ARGV[7 + count + i])
       if delivery ~= '' then fresh[#fresh + 1] = delivery end
     end
   end
   for i = 1, #fresh, 4000 do redis.call('RPUSH', KEYS[3], unpack(fresh, i, math.min(i + 3999, #fresh))) end
   if #fresh > 0 then
     redis.call('LTRIM', KEYS[3], -tonumber(ARGV[5]), -1)
     redis.call('PEXPIRE', KEYS[3], ${DELIVERIES_KEPT_MS})
   end
   redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ':' .. ARGV[3])
   return 1 + repeats`,
);

/**
 * KEYS lane marks · ARGV lane, epoch, fence: from now on appends of other owners are refused on this shard
 * → 0 where a newer one has announced itself.
 */
const announceLane = new RedisScript<number>(
  'ccAnnounceLane',
  `local mark = redis.call('HGET', KEYS[1], ARGV[1])
   if mark then
     if tonumber(ARGV[2]) < tonumber(string.match(mark, '^%d+')) then return 0 end
     if string.match(mark, '^(.*):%d+$') == ARGV[3] then return 1 end
   end
   redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. ':0')
   return 1`,
);

/** KEYS mailbox · ARGV limit, bytes, packed entry … → how many were appended; the mailbox has no room for the rest. */
const appendMany = new RedisScript<number>(
  'ccAppendMany',
  `${HEAVY_LUA}
   local length = redis.call('XLEN', KEYS[1])
   local room = is_heavy(length, ARGV[2]) and 0 or math.min(#ARGV - 2, math.max(0, ARGV[1] - length))
   for i = 3, room + 2 do redis.call('XADD', KEYS[1], '*', 'entry', ARGV[i]) end
   return room`,
);

/** KEYS mailbox, position → id of the last entry that was ever appended, applied or not. */
const lastId = new RedisScript<string>(
  'ccLastId',
  `local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
   return last and last[1] or redis.call('GET', KEYS[2]) or '0-0'`,
);

/** KEYS mailbox · ARGV limit, bytes, packed entry → the entry's id, or false where the mailbox is full. */
const appendAsCaller = new RedisScript<string | null>(
  'ccAppendCommand',
  `${HEAVY_LUA}
   local length = redis.call('XLEN', KEYS[1])
   if length >= tonumber(ARGV[1]) or is_heavy(length, ARGV[2]) then return false end
   return redis.call('XADD', KEYS[1], '*', 'entry', ARGV[3])`,
);

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
    const args = [lane.index, lane.epoch, lane.fence];
    const accepted = await Promise.all(
      Array.from({ length: shardCount }, (_, shard) =>
        announceLane.run(this.redis, [this.keys.laneMarks(shard)], args),
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
   * @throws StaleOwnerError where the lane has a newer owner; an Error of Redis where the outcome is unknown.
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
        const args: (string | number)[] = [lane.index, lane.fence, sequence, limit, remembered];
        args.push(items.length, room.bytes);
        for (const { delivery = '', again = false } of items)
          args.push(again && delivery !== '' ? `!${delivery}` : delivery);
        for (const item of items) args.push(pack(item));
        const keys = [this.keys.mailbox(shard), this.keys.laneMarks(shard), this.keys.deliveries(shard, lane.index)];
        return [shard, await appendAsLane.run(this.redis, keys, args)] as const;
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
  async sendAll(shard: number, items: readonly MailboxItem[]): Promise<number> {
    if (items.length === 0) return 0;
    return appendMany.run(
      this.redis,
      [this.keys.mailbox(shard)],
      [...[this.limit, this.room.bytes], ...items.map(pack)],
    );
  }

  /** Every entry appended up to now has an id up to this one; every later one has a higher. */
  async lastId(shard: number): Promise<string> {
    return lastId.run(this.redis, [this.keys.mailbox(shard), this.keys.position(shard)], []);
  }

  /** Appends an entry of a caller that owns no lane. @returns false where the mailbox is full. */
  async send(shard: number, item: MailboxItem): Promise<boolean> {
    const args = [this.limit, this.room.bytes, pack(item)];
    return (await appendAsCaller.run(this.redis, [this.keys.mailbox(shard)], args)) !== null;
  }
}
