import { RedisBusyError, RedisFullError, RedisScriptError, RedisUnavailableError } from '@app/platform';
import type { ClaimEntry } from '@app/registry';
import {
  LEASE_MS,
  OUT,
  client,
  withOutboundShards,
  type OutboundBench,
} from '../../../../test/support/outbound-bench.js';
import { eventually, gate } from '../../../../test/support/servers.js';
import type { OutboundDependencies } from './outbound-dependencies.js';
import { Semaphore } from './semaphore.js';

let bench: OutboundBench;

withOutboundShards((one) => (bench = one));

describe('a shard', () => {
  it('serves other connections while the broker does not answer for one', async () => {
    const [slow, quick] = [client(0, 0), client(0, 1)];
    const held = bench.broker.withhold(OUT.topicOf(slow));
    await bench.accept(0, slow);
    await bench.accept(0, quick, 3);
    const one = await bench.own(0, bench.dependenciesOf(new Semaphore(10)));
    await bench.untilEmpty([0, quick]);
    expect(bench.published().toSorted()).toEqual([slow, quick, quick, quick].toSorted());
    await bench.accept(0, client(0, 2));
    await bench.read(one);
    await bench.untilEmpty([0, client(0, 2)]);
    held.open();
    await bench.untilEmpty([0, slow]);
  });

  it('publishes what the accept script has claimed for it, and then what was accepted behind it', async () => {
    const one = await bench.own(0, bench.dependenciesOf(new Semaphore(10)));
    const ids = [...(await bench.accept(0, client(0, 0))), ...(await bench.accept(0, client(0, 0), 2))];
    expect((await bench.messages.read(ids[0] ?? ''))?.status).toBe('in_flight');
    await bench.read(one);
    await bench.untilEmpty([0, client(0, 0)]);
    expect(bench.publishedIds()).toEqual(ids);
    for (const id of ids) {
      expect((await bench.messages.read(id))?.history.map(({ status }) => status)).toEqual([
        'queued',
        'in_flight',
        'sent',
      ]);
    }
  });

  it('reads no claims before it has taken over those of the former owner, and never one of these', async () => {
    await bench.redis.set(bench.keys.owner({ kind: 'outbound', index: 0 }), '0:former');
    const ids = [...(await bench.accept(0, client(0, 0))), ...(await bench.accept(0, client(0, 1)))];
    const takenOver = gate();
    const slow = bench.withSteps({
      takeOver: async (...args) => {
        const reply = await bench.work.takeOver(...args);
        await takenOver.passed;
        return reply;
      },
    });
    const owning = bench.own(0, bench.dependenciesOf(new Semaphore(10), { work: slow }));
    await eventually('it has begun', () => expect(bench.owned).toHaveLength(1));
    expect(bench.owned[0]?.shard.position).toBeUndefined();
    const claimed: ClaimEntry[] = [];
    await bench.claims.read(new Map([[0, '0-0']]), (_, entries) => {
      claimed.push(...entries);
      return Promise.resolve();
    });
    await bench.owned[0]?.shard.receive(claimed);
    takenOver.open();
    const one = await owning;
    const { position } = one.shard;
    await one.shard.receive(claimed);
    expect([claimed.length, one.shard.position]).toEqual([2, position]);
    await bench.untilEmpty([0, client(0, 0)], [0, client(0, 1)]);
    expect(bench.publishedIds().toSorted()).toEqual(ids.toSorted());
  });

  it('finds a claim whose entry in the stream is lost', async () => {
    const one = await bench.own(0, bench.dependenciesOf(new Semaphore(10)));
    const [first] = await bench.accept(0, client(0, 0));
    await bench.redis.del(bench.keys.claims(0));
    // The next step finds more messages in flight than this owner knows.
    await bench.accept(0, client(0, 1), 1, { payloadJson: JSON.stringify('x'.repeat(20_000)) });
    await bench.read(one);
    await bench.untilEmpty([0, client(0, 0)], [0, client(0, 1)]);
    expect(bench.publishedIds()).toContain(first);
  });

  it('publishes once what the accept script claims while a step is under way', async () => {
    const one = await bench.own(0, bench.dependenciesOf(new Semaphore(50)));
    const ids: string[] = [];
    for (let i = 0; i < 30; i++) {
      const [id = ''] = await bench.accept(0, client(0, i));
      ids.push(id);
      await bench.read(one);
    }
    await bench.untilEmpty(...ids.map((_, i) => [0, client(0, i)] as const));
    expect(bench.publishedIds().toSorted()).toEqual(ids.toSorted());
  });

  it('gives the lease back when it is asked to, after the PUBACK, and others continue', async () => {
    const of = bench.dependenciesOf(new Semaphore(5));
    const held = bench.broker.withhold(OUT.topicOf(client(0, 0)));
    const [first, second] = await bench.accept(0, client(0, 0), 2);
    const one = await bench.own(0, of);
    await eventually('the first message is published', () => expect(bench.published()).toHaveLength(1));
    const finished = one.shard.finish(false);
    await eventually('nothing is claimed for it any more', async () =>
      expect(await bench.redis.exists(bench.keys.outboundClosing(0))).toBe(1),
    );
    // Also if it takes as long as it may.
    expect(await bench.redis.pttl(bench.keys.outboundClosing(0))).toBeGreaterThan(LEASE_MS);
    held.open();
    expect(await finished).toBe('due');
    expect(of.semaphore.available).toBe(5);
    expect(
      await bench.redis.exists(bench.keys.owner(one.grant), bench.keys.claimed(0), bench.keys.outboundClosing(0)),
    ).toBe(0);
    expect((await bench.messages.read(first ?? ''))?.status).toBe('sent');
    await bench.own(0, of, 2);
    await bench.untilEmpty([0, client(0, 0)]);
    expect(bench.publishedIds()).toEqual([first, second]);
  });

  it('that is lost publishes nothing more, and the next owner publishes its messages again', async () => {
    const of = bench.dependenciesOf(new Semaphore(5));
    const held = bench.broker.withhold(OUT.topicOf(client(0, 0)));
    const [first] = await bench.accept(0, client(0, 0), 2);
    const one = await bench.own(0, of);
    await eventually('the first message is published', () => expect(bench.published()).toHaveLength(1));
    const next = await bench.own(0, bench.dependenciesOf(new Semaphore(5)), 2);
    await eventually('it is published again', () => expect(bench.published()).toHaveLength(2));
    held.open();
    await bench.untilEmpty([0, client(0, 0)]);
    await eventually('the former owner learns of it', () => expect(one.isLost).toBe(true));
    expect([of.semaphore.available, next.isLost]).toEqual([5, false]);
    expect(bench.publishedIds().slice(0, 2)).toEqual([first, first]);
    expect(bench.published()).toHaveLength(3);
  });

  it('is given back when it has been idle for a while', async () => {
    await bench.accept(0, client(0, 0));
    const one = await bench.own(0, bench.dependenciesOf(new Semaphore(5)));
    await eventually('it is passivated', () => expect(one.isPassivated).toBe(true));
    expect(await bench.redis.exists(bench.keys.owner(one.grant), bench.keys.outbox(0, client(0, 0)))).toBe(0);
  });
});

describe('a shard that Redis refuses', () => {
  function failing(error: Error): OutboundDependencies['work'] {
    let failures = 0;
    return bench.withSteps({
      step: (...args) => (failures++ === 0 ? Promise.reject(error) : bench.work.step(...args)),
    });
  }

  it.each([RedisUnavailableError, RedisBusyError, RedisFullError])('tries again after %p', async (type) => {
    await bench.accept(0, client(0, 0));
    await bench.own(0, bench.dependenciesOf(new Semaphore(5), { work: failing(new type(new Error('away'))) }));
    await bench.untilEmpty([0, client(0, 0)]);
    expect(bench.published()).toEqual([client(0, 0)]);
  });

  it('ends with an error of a script, which would only occur again, and gives its permits back', async () => {
    const of = bench.dependenciesOf(new Semaphore(5), { work: failing(new RedisScriptError(new Error('wrong'))) });
    await bench.accept(0, client(0, 0));
    const one = await bench.own(0, of);
    await eventually('it has ended', () => expect(one.hasFailed).toBe(true));
    expect([of.semaphore.available, one.isLost]).toEqual([5, false]);
  });
});
