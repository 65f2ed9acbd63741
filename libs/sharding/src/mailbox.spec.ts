import { isAfter, storedAt } from './mailbox.js';
import { items, lane, outcomesOf, withMailboxes, type MailboxBench } from '../../../test/support/mailboxes.js';

let bench: MailboxBench;

withMailboxes((opened) => (bench = opened));

describe('Mailboxes.append', () => {
  it('appends the batches of several shards in one call, each in its order', async () => {
    const mailboxes = await bench.announcedBy(lane(1));
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
    expect(await bench.texts(3)).toEqual(['a', 'b', 'c']);
    expect(await bench.texts(0)).toEqual(['d']);
    expect(await bench.texts(7)).toEqual(['e', 'f']);
    expect(await bench.texts(1)).toEqual([]);
  });

  it('stores the text of an entry, and the time in its id', async () => {
    const [seconds] = await bench.redis.time();
    const mailboxes = await bench.announcedBy(lane(1));
    await mailboxes.append(lane(1), 1, new Map([[0, items('x')]]));
    const [entry] = await bench.entries(0);
    expect(entry).toMatchObject({ text: 'x' });
    expect(storedAt(entry?.id ?? '')).toBeGreaterThanOrEqual(Number(seconds) * 1000);
  });

  it.each([
    ['empty', ''],
    ['of several lines', '\n{"a":\n\n1}\n'],
    ['of control characters and characters beyond the basic plane', '{"a":"\u0000\t","b":"ü😀"}'],
  ])('stores a text unchanged if it is %s', async (_, text) => {
    const mailboxes = await bench.announcedBy(lane(1));
    await mailboxes.append(lane(1), 1, new Map([[0, [{ text }]]]));
    await mailboxes.send(0, text);
    expect(await bench.entries(0)).toEqual([expect.objectContaining({ text }), expect.objectContaining({ text })]);
  });

  it('appends a batch with the same sequence number once, and reports it as seen after that', async () => {
    const mailboxes = await bench.announcedBy(lane(1));
    const batch = new Map([[0, items('a', 'b')]]);
    expect(await outcomesOf(mailboxes, lane(1), 7, batch)).toEqual(new Map([[0, 'appended']]));
    expect(await outcomesOf(mailboxes, lane(1), 7, batch)).toEqual(new Map([[0, 'seen']]));
    expect(await outcomesOf(mailboxes, lane(1), 6, batch)).toEqual(new Map([[0, 'seen']]));
    expect(await outcomesOf(mailboxes, lane(1), 10, new Map([[0, items('c')]]))).toEqual(new Map([[0, 'appended']]));
    expect(await bench.texts(0)).toEqual(['a', 'b', 'c']);
  });

  it('appends a repeated batch only to the shards that do not have it yet', async () => {
    const mailboxes = await bench.announcedBy(lane(1));
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
    expect(await bench.texts(0)).toEqual(['a']);
    expect(await bench.texts(1)).toEqual(['b']);
  });

  it('rejects if one shard fails, but only after the other shards are done, so that a repetition finds them seen', async () => {
    const mailboxes = await bench.announcedBy(lane(1));
    await bench.redis.set(bench.keys.mailbox(0), 'not a stream');
    const batch = new Map([
      [0, items('a')],
      [1, items('b')],
    ]);
    await expect(mailboxes.append(lane(1), 1, batch)).rejects.toThrow(/WRONGTYPE/);
    expect(await bench.texts(1)).toEqual(['b']);
    await bench.redis.del(bench.keys.mailbox(0));
    expect(await outcomesOf(mailboxes, lane(1), 1, batch)).toEqual(
      new Map([
        [0, 'appended'],
        [1, 'seen'],
      ]),
    );
  });
});

describe('Mailboxes.idBefore', () => {
  const HOUR_MS = 3_600_000;

  it('is the id of the newest entry if that is old, even if it has been applied', async () => {
    const { mailbox, position } = { mailbox: bench.keys.mailbox(0), position: bench.keys.position(0) };
    const mailboxes = await bench.announcedBy(lane(1));
    expect(await mailboxes.idBefore(0, 500)).toBe('0-0');
    await bench.redis.set(position, '7-1');
    expect(await mailboxes.idBefore(0, 500)).toBe('7-1');
    await bench.redis.xadd(mailbox, '8-2', 'entry', 'x');
    expect(await mailboxes.idBefore(0, 500)).toBe('8-2');
  });

  it('is below the ids of entries that were appended lately, and above older ones', async () => {
    const mailboxes = await bench.announcedBy(lane(1));
    await mailboxes.send(0, 'x');
    const [entry] = await bench.entries(0);
    const id = await mailboxes.idBefore(0, HOUR_MS);
    expect(isAfter(entry?.id ?? '', id)).toBe(true);
    const [seconds] = await bench.redis.time();
    expect(Math.abs(storedAt(id) - (Number(seconds) * 1000 - HOUR_MS))).toBeLessThan(60_000);
  });

  it('is the id of the newest entry if the clock of Redis was set back since: otherwise that entry would stay too new', async () => {
    const later = `${Date.now() + HOUR_MS}-0`;
    await bench.redis.xadd(bench.keys.mailbox(0), later, 'entry', 'x');
    expect(await (await bench.announcedBy(lane(1))).idBefore(0, 500)).toBe(later);
  });
});
