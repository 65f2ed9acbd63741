/** How shards share the permits of a dispatcher. */
import { jest } from '@jest/globals';
import { Outboxes, type OutboundWork } from '@app/registry';
import {
  OUT,
  SHARDS,
  client,
  clients,
  withOutboundShards,
  type OutboundBench,
} from '../../../../test/support/outbound-bench.js';
import { eventually, gate } from '../../../../test/support/servers.js';
import { IDLE_MS } from './outbound-times.js';
import { Semaphore } from './semaphore.js';

let bench: OutboundBench;

withOutboundShards((one) => (bench = one));

describe('a shard that waits for permits', () => {
  it('gives its permits to others while its Redis does not answer', async () => {
    const answers = gate();
    const silent = bench.withSteps({
      step: async (...args: Parameters<OutboundWork['step']>) => {
        await answers.passed;
        return bench.work.step(...args);
      },
    });
    await bench.accept(0, client(0, 0));
    await bench.accept(1, client(1, 0));
    const semaphore = new Semaphore(1);
    await bench.own(0, bench.dependenciesOf(semaphore, { work: silent }));
    await bench.own(1, bench.dependenciesOf(semaphore));
    await bench.untilEmpty([1, client(1, 0)]);
    expect(bench.published()).toEqual([client(1, 0)]);
    answers.open();
    await bench.untilEmpty([0, client(0, 0)]);
  });

  it('never publishes for more connections than there are permits, and serves every connection', async () => {
    const all = clients.flatMap((ids, shard) => ids.slice(0, 20).map((id) => [shard, id] as const));
    for (const [shard, id] of all) await bench.accept(shard, id, 3);
    bench.broker.latencyMs = 5;
    const of = bench.dependenciesOf(new Semaphore(3));
    await Promise.all(clients.map((_, shard) => bench.own(shard, of)));
    await bench.untilEmpty(...all);
    expect(bench.published().toSorted()).toEqual(all.flatMap(([, id]) => [id, id, id]).toSorted());
    expect(bench.broker.maxInFlight).toBe(3);
    await eventually('all permits are free', () => expect(of.semaphore.available).toBe(3));
  });

  it('never publishes more of what was claimed for it than there are permits', async () => {
    const of = bench.dependenciesOf(new Semaphore(3));
    const one = await bench.own(0, of);
    const some = Array.from({ length: 20 }, (_, i) => client(0, i));
    bench.broker.latencyMs = 5;
    for (const id of some) await bench.accept(0, id);
    while (bench.published().length < some.length) await bench.read(one);
    expect(bench.broker.maxInFlight).toBe(3);
  });

  it('publishes for others while results wait for a step, which completes several', async () => {
    const completed: number[] = [];
    const counted = bench.withSteps({
      step: (grant, state) => {
        completed.push(state.results.length);
        return bench.work.step(grant, state);
      },
    });
    const one = await bench.own(0, bench.dependenciesOf(new Semaphore(1), { work: counted }));
    const some = Array.from({ length: 20 }, (_, i) => client(0, i));
    for (const id of some) await bench.accept(0, id);
    while (bench.published().length < some.length) await bench.read(one);
    await bench.untilEmpty(...some.map((id) => [0, id] as const));
    expect(Math.max(...completed)).toBeGreaterThan(1);
    expect(bench.broker.maxInFlight).toBe(1);
  });

  it('waits for a permit with the next message of a connection that had none any more', async () => {
    const followed = gate();
    const later = bench.withSteps({
      step: async (grant, state) => {
        if (state.results.length > 0) await followed.passed;
        return bench.work.step(grant, state);
      },
    });
    const of = bench.dependenciesOf(new Semaphore(1), { work: later });
    const held = bench.broker.withhold(OUT.topicOf(client(0, 1)));
    const one = await bench.own(0, of);
    await bench.accept(0, client(0, 0));
    await bench.read(one);
    await eventually('the first message is published', () => expect(bench.published()).toHaveLength(1));
    await eventually('its permit is free', () => expect(of.semaphore.available).toBe(1));
    const [next = ''] = await bench.accept(0, client(0, 0));
    await bench.accept(0, client(0, 1));
    await bench.read(one);
    followed.open();
    await eventually('the next message is claimed', async () =>
      expect(['in_flight', 'sent']).toContain((await bench.messages.read(next))?.status),
    );
    held.open();
    await bench.untilEmpty([0, client(0, 0)], [0, client(0, 1)]);
    expect(bench.broker.maxInFlight).toBe(1);
  });

  it('does nothing while it waits for a permit, however long that takes', async () => {
    const of = bench.dependenciesOf(new Semaphore(1));
    let looks = 0;
    const isConnected = (): boolean => {
      looks++;
      return bench.publisher.connected;
    };
    of.semaphore.acquire(1);
    await bench.accept(0, client(0, 0));
    const one = await bench.own(0, { ...of, isConnected });
    const now = performance.now.bind(performance);
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => now() + 2 * IDLE_MS);
    await bench.redis.xadd(bench.keys.claims(0), '*', 'bell', '');
    await bench.read(one);
    // Each of these replies takes a turn of the event loop.
    for (let i = 0; i < 1000; i++) await bench.redis.ping();
    expect(looks).toBeLessThan(20);
    clock.mockRestore();
    of.semaphore.release(1);
    await bench.untilEmpty([0, client(0, 0)]);
  });

  it('gives back what waits for a permit if the client has gone offline, also behind a message that the client has failed', async () => {
    const of = bench.dependenciesOf(new Semaphore(1));
    const held = bench.broker.withhold(OUT.topicOf(client(0, 0)));
    const one = await bench.own(0, of);
    const [failed = ''] = await bench.accept(0, client(0, 0));
    await bench.read(one);
    await eventually('the first message is published', () => expect(bench.published()).toHaveLength(1));
    await new Outboxes(bench.redis, bench.keys, SHARDS).failByClient(client(0, 0), failed, 'bad');
    const other = of.semaphore.acquireOne(new AbortController().signal);
    const [next = ''] = await bench.accept(0, client(0, 0));
    const receiving = bench.read(one);
    await eventually('the claim is read', async () =>
      expect(one.shard.position).toBe(
        (await bench.redis.xrevrange(bench.keys.claims(0), '+', '-', 'COUNT', 1))[0]?.[0],
      ),
    );
    await bench.redis.zrem(bench.keys.online(0, 'host'), client(0, 0));
    held.open();
    await other;
    await eventually('it is held again', async () => expect((await bench.messages.read(next))?.status).toBe('held'));
    of.semaphore.release(1);
    await receiving;
    expect(bench.published()).toHaveLength(1);
  });

  it('leaves its connections after its turn if other shards wait for permits', async () => {
    bench.broker.latencyMs = 300;
    for (let i = 0; i < 2; i++) await bench.accept(0, client(0, i), 100);
    await bench.accept(1, client(1, 0));
    const of = bench.dependenciesOf(new Semaphore(2));
    await bench.own(0, of);
    await eventually('two messages are published', () => expect(bench.published()).toHaveLength(2));
    await bench.own(1, of);
    await bench.untilEmpty([1, client(1, 0)]);
    expect(await bench.redis.llen(bench.keys.outbox(0, client(0, 0)))).toBeGreaterThan(0);
  });
});
