/** Which owner of a lane may append. */
import { SHARDS, items, lane, outcomesOf, withMailboxes, type MailboxBench } from '../../../test/support/mailboxes.js';
import { Mailboxes } from './mailbox.js';
import { StaleOwnerError } from './ownership.js';

let bench: MailboxBench;

withMailboxes((opened) => (bench = opened));

describe('Mailboxes.append', () => {
  it('rejects an append that carries an old epoch, and appends nothing of it', async () => {
    const mailboxes = await bench.announcedBy(lane(4));
    await mailboxes.append(lane(4), 1, new Map([[0, items('old')]]));
    await mailboxes.announce(lane(5), SHARDS);
    await mailboxes.append(lane(5), 1, new Map([[0, items('new')]]));
    const late = mailboxes.append(lane(4), 99, new Map([[0, items('late')]]));
    await expect(late).rejects.toThrow(StaleOwnerError);
    await expect(late).rejects.toMatchObject({ grant: lane(4) });
    expect(await bench.texts(0)).toEqual(['old', 'new']);
  });

  it('rejects an owner that has not announced itself, even if no other owner has', async () => {
    const mailboxes = new Mailboxes(bench.redis, bench.keys, 100);
    await expect(mailboxes.append(lane(1), 1, new Map([[0, items('a')]]))).rejects.toThrow(StaleOwnerError);
    await mailboxes.announce(lane(1), SHARDS);
    await expect(mailboxes.append(lane(2), 1, new Map([[0, items('b')]]))).rejects.toThrow(StaleOwnerError);
    expect(await bench.texts(0)).toEqual([]);
  });

  it('rejects another boot with the announced epoch', async () => {
    const mailboxes = await bench.announcedBy(lane(3));
    const other = mailboxes.append(lane(3, 0, 'other'), 1, new Map([[0, items('a')]]));
    await expect(other).rejects.toThrow(StaleOwnerError);
    expect(await bench.texts(0)).toEqual([]);
  });

  it('rejects the old owner after Redis has lost the fences, and accepts a new owner whose epoch starts over', async () => {
    const mailboxes = await bench.announcedBy(lane(1, 0, 'old'));
    await mailboxes.append(lane(1, 0, 'old'), 1, new Map([[0, items('before')]]));
    await bench.redis.del(
      bench.keys.mailbox(0),
      ...Array.from({ length: SHARDS }, (_, shard) => bench.keys.laneFences(shard)),
    );
    const late = new Map([[0, items('late')]]);
    await expect(mailboxes.append(lane(1, 0, 'old'), 2, late)).rejects.toThrow(StaleOwnerError);
    const next = lane(1, 0, 'new');
    await mailboxes.announce(next, SHARDS);
    expect(await outcomesOf(mailboxes, next, 1, new Map([[0, items('after')]]))).toEqual(new Map([[0, 'appended']]));
    await expect(mailboxes.append(lane(1, 0, 'old'), 3, late)).rejects.toThrow(StaleOwnerError);
    expect(await bench.texts(0)).toEqual(['after']);
  });

  it('compares epochs as numbers, not as text', async () => {
    const mailboxes = await bench.announcedBy(lane(9));
    await mailboxes.append(lane(9), 1, new Map([[0, items('nine')]]));
    await mailboxes.announce(lane(10), SHARDS);
    await mailboxes.append(lane(10), 1, new Map([[0, items('ten')]]));
    await expect(mailboxes.announce(lane(9), SHARDS)).rejects.toThrow(StaleOwnerError);
    await expect(mailboxes.append(lane(9), 2, new Map([[0, items('late')]]))).rejects.toThrow(StaleOwnerError);
    expect(await bench.texts(0)).toEqual(['nine', 'ten']);
  });

  it('starts the sequence again with a new epoch', async () => {
    const mailboxes = await bench.announcedBy(lane(1));
    await mailboxes.append(lane(1), 50, new Map([[0, items('old')]]));
    await mailboxes.announce(lane(2), SHARDS);
    expect(await outcomesOf(mailboxes, lane(2), 1, new Map([[0, items('new')]]))).toEqual(new Map([[0, 'appended']]));
    expect(await bench.texts(0)).toEqual(['old', 'new']);
  });

  it('keeps separate epochs and sequences for each lane', async () => {
    const mailboxes = await bench.announcedBy(lane(9, 0));
    await mailboxes.announce(lane(1, 1), SHARDS);
    await mailboxes.append(lane(9, 0), 9, new Map([[0, items('of lane 0')]]));
    const outcome = await outcomesOf(mailboxes, lane(1, 1), 1, new Map([[0, items('of lane 1')]]));
    expect(outcome).toEqual(new Map([[0, 'appended']]));
    expect(await bench.texts(0)).toEqual(['of lane 0', 'of lane 1']);
  });
});

describe('Mailboxes.announce', () => {
  it('fences older epochs out on every shard before the first append', async () => {
    const mailboxes = await bench.announcedBy(lane(2));
    await mailboxes.announce(lane(3), SHARDS);
    for (let shard = 0; shard < SHARDS; shard++) {
      const late = mailboxes.append(lane(2), 1, new Map([[shard, items('late')]]));
      await expect(late).rejects.toThrow(StaleOwnerError);
      expect(await bench.texts(shard)).toEqual([]);
    }
  });

  it('lets the announced epoch append from sequence 1 on', async () => {
    const mailboxes = await bench.announcedBy(lane(2));
    await mailboxes.append(lane(2), 500, new Map([[0, items('old')]]));
    await mailboxes.announce(lane(3), SHARDS);
    expect(await outcomesOf(mailboxes, lane(3), 1, new Map([[0, items('new')]]))).toEqual(new Map([[0, 'appended']]));
  });

  it('rejects if a newer epoch was announced, and changes nothing', async () => {
    const mailboxes = await bench.announcedBy(lane(3));
    await mailboxes.append(lane(3), 5, new Map([[0, items('a')]]));
    await expect(mailboxes.announce(lane(2), SHARDS)).rejects.toThrow(StaleOwnerError);
    expect(await outcomesOf(mailboxes, lane(3), 5, new Map([[0, items('a')]]))).toEqual(new Map([[0, 'seen']]));
  });

  it('keeps the sequence if the same owner announces itself again', async () => {
    const mailboxes = await bench.announcedBy(lane(3));
    await mailboxes.append(lane(3), 5, new Map([[0, items('a')]]));
    await mailboxes.announce(lane(3), SHARDS);
    expect(await outcomesOf(mailboxes, lane(3), 5, new Map([[0, items('a')]]))).toEqual(new Map([[0, 'seen']]));
    expect(await outcomesOf(mailboxes, lane(3), 6, new Map([[0, items('b')]]))).toEqual(new Map([[0, 'appended']]));
    expect(await bench.texts(0)).toEqual(['a', 'b']);
  });

  it('replaces another boot with the same epoch, and starts the sequence again', async () => {
    const mailboxes = await bench.announcedBy(lane(3));
    await mailboxes.append(lane(3), 5, new Map([[0, items('old')]]));
    const next = lane(3, 0, 'other');
    await mailboxes.announce(next, SHARDS);
    expect(await outcomesOf(mailboxes, next, 1, new Map([[0, items('new')]]))).toEqual(new Map([[0, 'appended']]));
    await expect(mailboxes.append(lane(3), 6, new Map([[0, items('late')]]))).rejects.toThrow(StaleOwnerError);
    expect(await bench.texts(0)).toEqual(['old', 'new']);
  });

  it('fences only its own lane', async () => {
    const mailboxes = await bench.announcedBy(lane(1, 1));
    await mailboxes.announce(lane(3, 0), SHARDS);
    expect(await outcomesOf(mailboxes, lane(1, 1), 1, new Map([[0, items('a')]]))).toEqual(new Map([[0, 'appended']]));
  });
});
