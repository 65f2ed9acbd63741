/** Packets that the broker delivers again. */
import { SHARDS, lane, withMailboxes, type MailboxBench } from '../../../test/support/mailboxes.js';
import type { LaneItem } from './lane-item.js';
import { Mailboxes } from './mailbox.js';
import { StaleOwnerError } from './ownership.js';

let bench: MailboxBench;

withMailboxes((opened) => (bench = opened));

describe('Mailboxes.append', () => {
  let mailboxes: Mailboxes;

  beforeEach(async () => {
    mailboxes = await bench.announcedBy(lane(1));
  });

  const delivered = (...names: string[]): LaneItem[] =>
    names.map((name) => ({
      text: name.replace('!', ''),
      delivery: name.replace('!', ''),
      isRedelivery: name.startsWith('!'),
    }));

  async function take(sequence: number, ...names: string[]): Promise<number> {
    return (await mailboxes.append(lane(1), sequence, new Map([[0, delivered(...names)]]))).repeats;
  }

  it('leaves out redeliveries that any owner of the lane has appended before, and appends the others', async () => {
    expect(await take(1, '1.a', '2.b', '3.c')).toBe(0);
    await mailboxes.announce(lane(2), SHARDS);
    const again = new Map([[0, delivered('!2.b', '!3.c', '!4.d', '5.e')]]);
    expect(await mailboxes.append(lane(2), 1, again)).toEqual({ outcomes: new Map([[0, 'appended']]), repeats: 2 });
    expect(await bench.texts(0)).toEqual(['1.a', '2.b', '3.c', '4.d', '5.e']);
  });

  it('appends a redelivery if the last delivery with its id was another message', async () => {
    await take(1, '1.a', '2.b', '1.c');
    expect(await take(2, '!1.a', '!1.c')).toBe(1);
    expect(await bench.texts(0)).toEqual(['1.a', '2.b', '1.c', '1.a']);
  });

  it('reads the deliveries of a shard once while redeliveries come, and knows those that it appends', async () => {
    const owner = lane(1);
    await mailboxes.append(owner, 1, new Map([[0, delivered('1.a', '2.b')]]));
    const reads = async (): Promise<number> =>
      Number(/cmdstat_lrange:calls=(\d+)/.exec(await bench.redis.info('commandstats'))?.[1] ?? 0);
    const before = await reads();
    const repeats: number[] = [];
    for (const [i, names] of [['!1.a'], ['!3.c', '4.d'], ['!3.c', '!4.d', '!5.e'], ['!2.b', '!5.f']].entries()) {
      repeats.push((await mailboxes.append(owner, 2 + i, new Map([[0, delivered(...names)]]))).repeats);
    }
    expect(repeats).toEqual([1, 0, 2, 1]);
    expect(await bench.texts(0)).toEqual(['1.a', '2.b', '3.c', '4.d', '5.e', '5.f']);
    expect(await reads()).toBe(before + 1);
  });

  it('refuses a batch that was compared with other deliveries than Redis has, and compares it again when it is repeated', async () => {
    const owner = lane(1);
    await mailboxes.append(owner, 1, new Map([[0, delivered('!1.a')]]));
    // An append whose reply was lost, and which Redis has run late.
    const late = new Mailboxes(bench.redis, bench.keys, 100);
    await late.append(owner, 2, new Map([[0, delivered('2.b')]]));
    const again = new Map([[0, delivered('!2.b', '!3.c')]]);
    await expect(mailboxes.append(owner, 3, again)).rejects.toThrow('other deliveries');
    expect(await bench.texts(0)).toEqual(['1.a', '2.b']);
    expect((await mailboxes.append(owner, 3, again)).repeats).toBe(1);
    expect(await bench.texts(0)).toEqual(['1.a', '2.b', '3.c']);
  });

  it('refuses redeliveries to a former owner of the lane', async () => {
    await take(1, '1.a');
    await mailboxes.announce(lane(2), SHARDS);
    await expect(take(2, '!1.a')).rejects.toThrow(StaleOwnerError);
  });

  it('compares a redelivery only with deliveries of its own lane', async () => {
    await take(1, '1.a');
    await mailboxes.announce(lane(1, 1), SHARDS);
    const other = await mailboxes.append(lane(1, 1), 1, new Map([[0, delivered('!1.a')]]));
    expect(other.repeats).toBe(0);
    expect(await bench.texts(0)).toEqual(['1.a', '1.a']);
  });

  it('appends a redelivery that was never appended before, or has no name', async () => {
    expect(await take(1, '!7.x')).toBe(0);
    const nameless = [{ text: 'x', delivery: '', isRedelivery: true }];
    expect((await mailboxes.append(lane(1), 2, new Map([[0, nameless]]))).repeats).toBe(0);
    expect(await bench.texts(0)).toEqual(['7.x', 'x']);
  });

  it('remembers as many deliveries as its setting says', async () => {
    mailboxes = new Mailboxes(bench.redis, bench.keys, 100, 3);
    await take(1, '1.a', '2.b', '3.c', '4.d');
    expect(await bench.redis.llen(bench.keys.deliveries(0, 0))).toBe(3);
    expect(await take(2, '!1.a')).toBe(0);
    expect(await take(3, '!3.c', '!4.d')).toBe(2);
  });

  it('knows as many deliveries as Redis remembers, while redeliveries come', async () => {
    mailboxes = new Mailboxes(bench.redis, bench.keys, 100, 2);
    const owner = lane(1);
    const append = async (sequence: number, ...names: string[]): Promise<number> =>
      (await mailboxes.append(owner, sequence, new Map([[0, delivered(...names)]]))).repeats;
    expect(await append(1, '!1.a', '!2.b', '!3.c')).toBe(0);
    expect(await append(2, '!1.a')).toBe(0);
    expect(await append(3, '!2.b', '!3.c', '!1.a')).toBe(2);
  });

  it('forgets deliveries a day after the last one, and with the session of the lane', async () => {
    await take(1, '1.a');
    const left = await bench.redis.pttl(bench.keys.deliveries(0, 0));
    expect(left).toBeGreaterThan(86_000_000);
    expect(left).toBeLessThanOrEqual(86_400_000);
    await mailboxes.forgetDeliveries(lane(1), SHARDS);
    expect(await bench.redis.exists(bench.keys.deliveries(0, 0))).toBe(0);
  });

  it('leaves out nothing of a new session that comes for the first time, or differs, if the former one was not forgotten', async () => {
    await take(1, '1.a', '2.b', '3.c');
    // Its first owner died after the broker had begun the session; ids start again.
    await mailboxes.announce(lane(2), SHARDS);
    const ofSession = new Map([[0, delivered('1.a', '2.d')]]);
    expect((await mailboxes.append(lane(2), 1, ofSession)).repeats).toBe(0);
    const again = new Map([[0, delivered('!1.a', '!2.d', '!3.e')]]);
    expect((await mailboxes.append(lane(2), 2, again)).repeats).toBe(2);
    expect(await bench.texts(0)).toEqual(['1.a', '2.b', '3.c', '1.a', '2.d', '3.e']);
  });

  it('appends a redelivery of a new session that has the id and the text of a delivery of the former one', async () => {
    await take(1, '1.a');
    expect(await take(2, '!1.a')).toBe(1);
    expect(await mailboxes.forgetDeliveries(lane(1), SHARDS)).toBe(true);
    expect(await take(3, '!1.a')).toBe(0);
    expect(await bench.texts(0)).toEqual(['1.a', '1.a']);
  });

  it('keeps the deliveries of a newer owner if a former one, that was frozen, wakes up and forgets', async () => {
    await mailboxes.announce(lane(2), SHARDS);
    await mailboxes.append(lane(2), 1, new Map([[0, delivered('1.a')]]));
    expect(await mailboxes.forgetDeliveries(lane(1), SHARDS)).toBe(false);
    const again = await mailboxes.append(lane(2), 2, new Map([[0, delivered('!1.a')]]));
    expect(again.repeats).toBe(1);
    expect(await bench.texts(0)).toEqual(['1.a']);
  });
});
