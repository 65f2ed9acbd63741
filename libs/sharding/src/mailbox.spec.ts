import type { Redis } from '@app/platform';
import { withRedis } from '../../../test/support/redis.js';
import { Mailboxes, storedAt, type AppendOutcome, type LaneItem, type MailboxEntry } from './mailbox.js';
import { StaleOwnerError, type Grant } from './ownership.js';
import { ShardingKeys } from './sharding-keys.js';

const SHARDS = 8;

let redis: Redis;
let keys: ShardingKeys;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(() => {
  keys = new ShardingKeys(`mailbox${keySpaces++}`);
});

function lane(epoch: number, index = 0, boot = 'boot'): Grant {
  return { kind: 'lane', index, epoch, fence: `${epoch}:${boot}` };
}

/** Mailboxes whose lane owner has announced itself on every shard. */
async function announcedBy(owner: Grant, limit = 100): Promise<Mailboxes> {
  const mailboxes = new Mailboxes(redis, keys, limit);
  await mailboxes.announce(owner, SHARDS);
  return mailboxes;
}

function items(...texts: string[]): LaneItem[] {
  return texts.map((text) => ({ text }));
}

async function entriesOf(shard: number): Promise<MailboxEntry[]> {
  const entries = await redis.xrange(keys.mailbox(shard), '-', '+');
  return entries.map(([id, [, text = '']]) => ({ id, text }));
}

async function texts(shard: number): Promise<string[]> {
  return (await entriesOf(shard)).map(({ text }) => text);
}

async function outcomesOf(
  mailboxes: Mailboxes,
  ...given: Parameters<Mailboxes['append']>
): Promise<Map<number, AppendOutcome>> {
  return (await mailboxes.append(...given)).outcomes;
}

describe('appending as the owner of a lane', () => {
  it('appends the batches of several shards in one call, each in its order', async () => {
    const mailboxes = await announcedBy(lane(1));
    const outcome = await outcomesOf(
      mailboxes,
      lane(1),
      1,
      new Map([
        [3, items('a', 'b', 'c')],
        [0, items('d')],
        [7, items('e', 'f')],
      ]),
    );
    expect(outcome).toEqual(
      new Map([
        [3, 'appended'],
        [0, 'appended'],
        [7, 'appended'],
      ]),
    );
    expect(await texts(3)).toEqual(['a', 'b', 'c']);
    expect(await texts(0)).toEqual(['d']);
    expect(await texts(7)).toEqual(['e', 'f']);
    expect(await texts(1)).toEqual([]);
  });

  it('stores the text of an entry, and the time of the store in its id', async () => {
    const [seconds] = await redis.time();
    const mailboxes = await announcedBy(lane(1));
    await mailboxes.append(lane(1), 1, new Map([[0, items('x')]]));
    const [entry] = await entriesOf(0);
    expect(entry).toMatchObject({ text: 'x' });
    expect(storedAt(entry?.id ?? '')).toBeGreaterThanOrEqual(Number(seconds) * 1000);
  });

  it('refuses an older epoch with StaleOwnerError and appends nothing of it', async () => {
    const mailboxes = await announcedBy(lane(4));
    await mailboxes.append(lane(4), 1, new Map([[0, items('old')]]));
    await mailboxes.announce(lane(5), SHARDS);
    await mailboxes.append(lane(5), 1, new Map([[0, items('new')]]));
    const late = mailboxes.append(lane(4), 99, new Map([[0, items('late')]]));
    await expect(late).rejects.toThrow(StaleOwnerError);
    await expect(late).rejects.toMatchObject({ grant: lane(4) });
    expect(await texts(0)).toEqual(['old', 'new']);
  });

  it('refuses an owner that has not announced itself, even where no other has', async () => {
    const mailboxes = new Mailboxes(redis, keys, 100);
    await expect(mailboxes.append(lane(1), 1, new Map([[0, items('a')]]))).rejects.toThrow(StaleOwnerError);
    await mailboxes.announce(lane(1), SHARDS);
    await expect(mailboxes.append(lane(2), 1, new Map([[0, items('b')]]))).rejects.toThrow(StaleOwnerError);
    expect(await texts(0)).toEqual([]);
  });

  it('refuses another boot of the announced epoch', async () => {
    const mailboxes = await announcedBy(lane(3));
    const other = mailboxes.append(lane(3, 0, 'other'), 1, new Map([[0, items('a')]]));
    await expect(other).rejects.toThrow(StaleOwnerError);
    expect(await texts(0)).toEqual([]);
  });

  it('refuses the old owner once Redis has lost its mark, and takes a new one whose epoch starts over', async () => {
    const mailboxes = await announcedBy(lane(1, 0, 'old'));
    await mailboxes.append(lane(1, 0, 'old'), 1, new Map([[0, items('before')]]));
    await redis.del(keys.mailbox(0), ...Array.from({ length: SHARDS }, (_, shard) => keys.laneFences(shard)));
    const late = new Map([[0, items('late')]]);
    await expect(mailboxes.append(lane(1, 0, 'old'), 2, late)).rejects.toThrow(StaleOwnerError);
    const next = lane(1, 0, 'new');
    await mailboxes.announce(next, SHARDS);
    expect(await outcomesOf(mailboxes, next, 1, new Map([[0, items('after')]]))).toEqual(new Map([[0, 'appended']]));
    await expect(mailboxes.append(lane(1, 0, 'old'), 3, late)).rejects.toThrow(StaleOwnerError);
    expect(await texts(0)).toEqual(['after']);
  });

  it('compares epochs as numbers, not as text', async () => {
    const mailboxes = await announcedBy(lane(9));
    await mailboxes.append(lane(9), 1, new Map([[0, items('nine')]]));
    await mailboxes.announce(lane(10), SHARDS);
    await mailboxes.append(lane(10), 1, new Map([[0, items('ten')]]));
    await expect(mailboxes.announce(lane(9), SHARDS)).rejects.toThrow(StaleOwnerError);
    await expect(mailboxes.append(lane(9), 2, new Map([[0, items('late')]]))).rejects.toThrow(StaleOwnerError);
    expect(await texts(0)).toEqual(['nine', 'ten']);
  });

  it('appends the same sequence number once, and says that it has seen it', async () => {
    const mailboxes = await announcedBy(lane(1));
    const batch = new Map([[0, items('a', 'b')]]);
    expect(await outcomesOf(mailboxes, lane(1), 7, batch)).toEqual(new Map([[0, 'appended']]));
    expect(await outcomesOf(mailboxes, lane(1), 7, batch)).toEqual(new Map([[0, 'seen']]));
    expect(await outcomesOf(mailboxes, lane(1), 6, batch)).toEqual(new Map([[0, 'seen']]));
    expect(await outcomesOf(mailboxes, lane(1), 10, new Map([[0, items('c')]]))).toEqual(new Map([[0, 'appended']]));
    expect(await texts(0)).toEqual(['a', 'b', 'c']);
  });

  it('appends a repeated batch to the shards that had not got it, and to no other', async () => {
    const mailboxes = await announcedBy(lane(1));
    await mailboxes.append(lane(1), 1, new Map([[0, items('a')]]));
    const outcome = await outcomesOf(
      mailboxes,
      lane(1),
      1,
      new Map([
        [0, items('a')],
        [1, items('b')],
      ]),
    );
    expect(outcome).toEqual(
      new Map([
        [0, 'seen'],
        [1, 'appended'],
      ]),
    );
    expect(await texts(0)).toEqual(['a']);
    expect(await texts(1)).toEqual(['b']);
  });

  it('starts the sequence anew with a new epoch', async () => {
    const mailboxes = await announcedBy(lane(1));
    await mailboxes.append(lane(1), 50, new Map([[0, items('old')]]));
    await mailboxes.announce(lane(2), SHARDS);
    expect(await outcomesOf(mailboxes, lane(2), 1, new Map([[0, items('new')]]))).toEqual(new Map([[0, 'appended']]));
    expect(await texts(0)).toEqual(['old', 'new']);
  });

  it('keeps the epochs and sequences of lanes apart', async () => {
    const mailboxes = await announcedBy(lane(9, 0));
    await mailboxes.announce(lane(1, 1), SHARDS);
    await mailboxes.append(lane(9, 0), 9, new Map([[0, items('of lane 0')]]));
    const outcome = await outcomesOf(mailboxes, lane(1, 1), 1, new Map([[0, items('of lane 1')]]));
    expect(outcome).toEqual(new Map([[0, 'appended']]));
    expect(await texts(0)).toEqual(['of lane 0', 'of lane 1']);
  });

  it('fills a mailbox to its limit, and refuses what does not fit as a whole', async () => {
    const mailboxes = await announcedBy(lane(1), 4);
    await mailboxes.append(lane(1), 1, new Map([[0, items('a', 'b')]]));
    expect(await outcomesOf(mailboxes, lane(1), 2, new Map([[0, items('c', 'd', 'e')]]))).toEqual(
      new Map([[0, 'full']]),
    );
    expect(await texts(0)).toEqual(['a', 'b']);
    expect(await outcomesOf(mailboxes, lane(1), 2, new Map([[0, items('c', 'd')]]))).toEqual(
      new Map([[0, 'appended']]),
    );
    expect(await texts(0)).toEqual(['a', 'b', 'c', 'd']);
    expect(await outcomesOf(mailboxes, lane(1), 3, new Map([[0, items('f')]]))).toEqual(new Map([[0, 'full']]));
  });

  it('appends what was full when it is repeated after room was made, while other shards were not held back', async () => {
    const mailboxes = await announcedBy(lane(1), 1);
    await mailboxes.append(lane(1), 1, new Map([[0, items('a')]]));
    const batch = new Map([
      [0, items('b')],
      [1, items('c')],
    ]);
    expect(await outcomesOf(mailboxes, lane(1), 2, batch)).toEqual(
      new Map([
        [0, 'full'],
        [1, 'appended'],
      ]),
    );
    await redis.xtrim(keys.mailbox(0), 'MAXLEN', 0);
    expect(await outcomesOf(mailboxes, lane(1), 2, batch)).toEqual(
      new Map([
        [0, 'appended'],
        [1, 'seen'],
      ]),
    );
    expect(await texts(0)).toEqual(['b']);
    expect(await texts(1)).toEqual(['c']);
  });

  it('fails where one shard fails, only after the others are done, so that a repetition finds them seen', async () => {
    const mailboxes = await announcedBy(lane(1));
    await redis.set(keys.mailbox(0), 'not a stream');
    const batch = new Map([
      [0, items('a')],
      [1, items('b')],
    ]);
    await expect(mailboxes.append(lane(1), 1, batch)).rejects.toThrow(/WRONGTYPE/);
    expect(await texts(1)).toEqual(['b']);
    await redis.del(keys.mailbox(0));
    expect(await outcomesOf(mailboxes, lane(1), 1, batch)).toEqual(
      new Map([
        [0, 'appended'],
        [1, 'seen'],
      ]),
    );
  });

  it.each([
    ['empty', ''],
    ['of several lines', '\n{"a":\n\n1}\n'],
    ['of control characters and characters beyond the basic plane', '{"a":"\u0000\t","b":"ü😀"}'],
  ])('keeps a text as it is that is %s', async (_, text) => {
    const mailboxes = await announcedBy(lane(1));
    await mailboxes.append(lane(1), 1, new Map([[0, [{ text }]]]));
    await mailboxes.send(0, text);
    expect(await entriesOf(0)).toEqual([expect.objectContaining({ text }), expect.objectContaining({ text })]);
  });
});

describe('announcing a lane', () => {
  it('fences older epochs out on every shard, before anything is appended', async () => {
    const mailboxes = await announcedBy(lane(2));
    await mailboxes.announce(lane(3), SHARDS);
    for (let shard = 0; shard < SHARDS; shard++) {
      const late = mailboxes.append(lane(2), 1, new Map([[shard, items('late')]]));
      await expect(late).rejects.toThrow(StaleOwnerError);
      expect(await texts(shard)).toEqual([]);
    }
  });

  it('lets the announced epoch append from sequence 1 on', async () => {
    const mailboxes = await announcedBy(lane(2));
    await mailboxes.append(lane(2), 500, new Map([[0, items('old')]]));
    await mailboxes.announce(lane(3), SHARDS);
    expect(await outcomesOf(mailboxes, lane(3), 1, new Map([[0, items('new')]]))).toEqual(new Map([[0, 'appended']]));
  });

  it('is refused where a newer epoch was announced, and leaves that one as it is', async () => {
    const mailboxes = await announcedBy(lane(3));
    await mailboxes.append(lane(3), 5, new Map([[0, items('a')]]));
    await expect(mailboxes.announce(lane(2), SHARDS)).rejects.toThrow(StaleOwnerError);
    expect(await outcomesOf(mailboxes, lane(3), 5, new Map([[0, items('a')]]))).toEqual(new Map([[0, 'seen']]));
  });

  it('keeps the sequence where the same owner announces itself again', async () => {
    const mailboxes = await announcedBy(lane(3));
    await mailboxes.append(lane(3), 5, new Map([[0, items('a')]]));
    await mailboxes.announce(lane(3), SHARDS);
    expect(await outcomesOf(mailboxes, lane(3), 5, new Map([[0, items('a')]]))).toEqual(new Map([[0, 'seen']]));
    expect(await outcomesOf(mailboxes, lane(3), 6, new Map([[0, items('b')]]))).toEqual(new Map([[0, 'appended']]));
    expect(await texts(0)).toEqual(['a', 'b']);
  });

  it('replaces another boot of the same epoch, and starts the sequence anew', async () => {
    const mailboxes = await announcedBy(lane(3));
    await mailboxes.append(lane(3), 5, new Map([[0, items('old')]]));
    const next = lane(3, 0, 'other');
    await mailboxes.announce(next, SHARDS);
    expect(await outcomesOf(mailboxes, next, 1, new Map([[0, items('new')]]))).toEqual(new Map([[0, 'appended']]));
    await expect(mailboxes.append(lane(3), 6, new Map([[0, items('late')]]))).rejects.toThrow(StaleOwnerError);
    expect(await texts(0)).toEqual(['old', 'new']);
  });

  it('fences one lane only', async () => {
    const mailboxes = await announcedBy(lane(1, 1));
    await mailboxes.announce(lane(3, 0), SHARDS);
    expect(await outcomesOf(mailboxes, lane(1, 1), 1, new Map([[0, items('a')]]))).toEqual(new Map([[0, 'appended']]));
  });
});

describe('sending as a caller without a lane', () => {
  it('appends until the mailbox is full, and says so then', async () => {
    const mailboxes = new Mailboxes(redis, keys, 2);
    expect(await mailboxes.send(0, 'a')).toBe(true);
    expect(await mailboxes.send(0, 'b')).toBe(true);
    expect(await mailboxes.send(0, 'c')).toBe(false);
    expect(await texts(0)).toEqual(['a', 'b']);
    expect(await mailboxes.send(1, 'd')).toBe(true);
  });
});

describe('what is delivered again', () => {
  let mailboxes: Mailboxes;

  beforeEach(async () => {
    mailboxes = await announcedBy(lane(1));
  });

  const delivered = (...names: string[]): LaneItem[] =>
    names.map((name) => ({
      text: name.replace('!', ''),
      delivery: name.replace('!', ''),
      again: name.startsWith('!'),
    }));

  async function take(sequence: number, ...names: string[]): Promise<number> {
    return (await mailboxes.append(lane(1), sequence, new Map([[0, delivered(...names)]]))).repeats;
  }

  it('and was appended before is left out, by whichever owner of the lane; what is new is not', async () => {
    expect(await take(1, '1.a', '2.b', '3.c')).toBe(0);
    await mailboxes.announce(lane(2), SHARDS);
    const again = new Map([[0, delivered('!2.b', '!3.c', '!4.d', '5.e')]]);
    expect(await mailboxes.append(lane(2), 1, again)).toEqual({ outcomes: new Map([[0, 'appended']]), repeats: 2 });
    expect(await texts(0)).toEqual(['1.a', '2.b', '3.c', '4.d', '5.e']);
  });

  it('is not taken for another message that had its id before', async () => {
    await take(1, '1.a', '2.b', '1.c');
    expect(await take(2, '!1.a', '!1.c')).toBe(1);
    expect(await texts(0)).toEqual(['1.a', '2.b', '1.c', '1.a']);
  });

  it('is asked of its own lane alone', async () => {
    await take(1, '1.a');
    await mailboxes.announce(lane(1, 1), SHARDS);
    const other = await mailboxes.append(lane(1, 1), 1, new Map([[0, delivered('!1.a')]]));
    expect(other.repeats).toBe(0);
    expect(await texts(0)).toEqual(['1.a', '1.a']);
  });

  it('is appended where it is new to the service, or has no name', async () => {
    expect(await take(1, '!7.x')).toBe(0);
    const nameless = [{ text: 'x', delivery: '', again: true }];
    expect((await mailboxes.append(lane(1), 2, new Map([[0, nameless]]))).repeats).toBe(0);
    expect(await texts(0)).toEqual(['7.x', 'x']);
  });

  it('is remembered for as many deliveries as may be unacknowledged, and no more', async () => {
    mailboxes = new Mailboxes(redis, keys, 100, 3);
    await take(1, '1.a', '2.b', '3.c', '4.d');
    expect(await redis.llen(keys.deliveries(0, 0))).toBe(3);
    expect(await take(2, '!1.a')).toBe(0);
    expect(await take(3, '!3.c', '!4.d')).toBe(2);
  });

  it('is forgotten a day after the last delivery, or with the session of its lane', async () => {
    await take(1, '1.a');
    const left = await redis.pttl(keys.deliveries(0, 0));
    expect(left).toBeGreaterThan(86_000_000);
    expect(left).toBeLessThanOrEqual(86_400_000);
    await mailboxes.forgetDeliveries(0, SHARDS);
    expect(await redis.exists(keys.deliveries(0, 0))).toBe(0);
  });
});

describe('the bytes of a mailbox', () => {
  const heavy = 'x'.repeat(40_000);

  it('fill it for lanes and for callers alike, and an empty one takes anything', async () => {
    const owner = lane(1);
    const mailboxes = new Mailboxes(redis, keys, 100, undefined, { bytes: 50_000 });
    await mailboxes.announce(owner, SHARDS);
    const batch = new Map([[0, items(heavy, heavy)]]);
    expect(await outcomesOf(mailboxes, owner, 1, batch)).toEqual(new Map([[0, 'appended']]));
    expect(await outcomesOf(mailboxes, owner, 2, batch)).toEqual(new Map([[0, 'full']]));
    expect([await mailboxes.send(0, 'a'), await mailboxes.sendAll(0, ['b'])]).toEqual([false, 0]);
    await redis.del(keys.mailbox(0));
    expect(await outcomesOf(mailboxes, owner, 2, batch)).toEqual(new Map([[0, 'appended']]));
  });

  it('are not asked for where Redis has no memory: the mailboxes of these shards are closed to lanes', async () => {
    const owner = lane(1);
    const isClosed = (shard: number): boolean => shard === 1;
    const mailboxes = new Mailboxes(redis, keys, 100, undefined, { bytes: 50_000, isClosed });
    await mailboxes.announce(owner, SHARDS);
    const batches = new Map([0, 1].map((shard) => [shard, items('a')]));
    expect(await outcomesOf(mailboxes, owner, 1, batches)).toEqual(
      new Map([
        [0, 'appended'],
        [1, 'full'],
      ]),
    );
    expect(await redis.xlen(keys.mailbox(1))).toBe(0);
  });
});
