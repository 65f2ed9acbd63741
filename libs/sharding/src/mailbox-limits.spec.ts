/** When a mailbox is full. */
import { SHARDS, items, lane, outcomesOf, withMailboxes, type MailboxBench } from '../../../test/support/mailboxes.js';
import { Mailboxes } from './mailbox.js';

let bench: MailboxBench;

withMailboxes((opened) => (bench = opened));

describe('Mailboxes.append', () => {
  it('fills a mailbox up to its limit, and refuses a batch that does not fit as a whole', async () => {
    const mailboxes = await bench.announcedBy(lane(1), 4);
    await mailboxes.append(lane(1), 1, new Map([[0, items('a', 'b')]]));
    expect(await outcomesOf(mailboxes, lane(1), 2, new Map([[0, items('c', 'd', 'e')]]))).toEqual(
      new Map([[0, 'full']]),
    );
    expect(await bench.texts(0)).toEqual(['a', 'b']);
    expect(await outcomesOf(mailboxes, lane(1), 2, new Map([[0, items('c', 'd')]]))).toEqual(
      new Map([[0, 'appended']]),
    );
    expect(await bench.texts(0)).toEqual(['a', 'b', 'c', 'd']);
    expect(await outcomesOf(mailboxes, lane(1), 3, new Map([[0, items('f')]]))).toEqual(new Map([[0, 'full']]));
  });

  it('appends a refused batch when it is repeated after the mailbox has room, and does not delay other shards', async () => {
    const mailboxes = await bench.announcedBy(lane(1), 1);
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
    await bench.redis.xtrim(bench.keys.mailbox(0), 'MAXLEN', 0);
    expect(await outcomesOf(mailboxes, lane(1), 2, batch)).toEqual(
      new Map([
        [0, 'appended'],
        [1, 'seen'],
      ]),
    );
    expect(await bench.texts(0)).toEqual(['b']);
    expect(await bench.texts(1)).toEqual(['c']);
  });
});

describe('Mailboxes.send', () => {
  it('appends until the mailbox is full, and returns false then', async () => {
    const mailboxes = new Mailboxes(bench.redis, bench.keys, 2);
    expect(await mailboxes.send(0, 'a')).toBe(true);
    expect(await mailboxes.send(0, 'b')).toBe(true);
    expect(await mailboxes.send(0, 'c')).toBe(false);
    expect(await bench.texts(0)).toEqual(['a', 'b']);
    expect(await mailboxes.send(1, 'd')).toBe(true);
  });
});

describe('Mailboxes with a limit of bytes', () => {
  const heavy = 'x'.repeat(40_000);

  it('counts a mailbox as full by its bytes, for lanes and other callers, and an empty one never', async () => {
    const owner = lane(1);
    const mailboxes = new Mailboxes(bench.redis, bench.keys, 100, undefined, { bytes: 50_000 });
    await mailboxes.announce(owner, SHARDS);
    const batch = new Map([[0, items(heavy, heavy)]]);
    expect(await outcomesOf(mailboxes, owner, 1, batch)).toEqual(new Map([[0, 'appended']]));
    expect(await outcomesOf(mailboxes, owner, 2, batch)).toEqual(new Map([[0, 'full']]));
    expect([await mailboxes.send(0, 'a'), await mailboxes.sendAll(0, ['b'])]).toEqual([false, 0]);
    await bench.redis.del(bench.keys.mailbox(0));
    expect(await outcomesOf(mailboxes, owner, 2, batch)).toEqual(new Map([[0, 'appended']]));
  });

  it('counts the mailboxes of closed shards as full for lanes', async () => {
    const owner = lane(1);
    const isClosed = (shard: number): boolean => shard === 1;
    const mailboxes = new Mailboxes(bench.redis, bench.keys, 100, undefined, { bytes: 50_000, isClosed });
    await mailboxes.announce(owner, SHARDS);
    const batches = new Map([0, 1].map((shard) => [shard, items('a')]));
    expect(await outcomesOf(mailboxes, owner, 1, batches)).toEqual(
      new Map([
        [0, 'appended'],
        [1, 'full'],
      ]),
    );
    expect(await bench.redis.xlen(bench.keys.mailbox(1))).toBe(0);
  });
});
