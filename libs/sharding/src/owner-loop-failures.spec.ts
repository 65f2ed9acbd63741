/** What the owner loop does if a handler fails. */
import { numbered, onEachTopology, type LoopBench } from '../../../test/support/owner-loop.js';
import { eventually } from '../../../test/support/servers.js';

let bench: LoopBench;

onEachTopology(
  (opened) => (bench = opened),
  () => {
    it('calls a handler that failed again from the stored position', async () => {
      const recorder = bench.recorder(async (grant, position, entries, call) => {
        if (call > 1) return bench.commitAll(grant, position, entries);
        // Three of the five entries are committed before the failure.
        await bench.commitAll(grant, position, entries.slice(0, 3));
        throw new Error('broken');
      });
      await bench.append(0, 'a', 'b', 'c', 'd', 'e');
      await bench.begin(recorder).add(await bench.own(0));
      await eventually('all entries have been applied', async () => expect(await bench.applied(0)).toHaveLength(5));
      expect(await bench.applied(0)).toEqual(['a', 'b', 'c', 'd', 'e']);
      expect(recorder.calls.map(({ texts }) => texts)).toEqual([
        ['a', 'b', 'c', 'd', 'e'],
        ['d', 'e'],
      ]);
      expect(recorder.calls[1]?.position).toBe(recorder.calls[0]?.ids[2]);
      expect(bench.lost).toEqual([]);
    });

    it('calls a handler that failed again with the whole batch if nothing was committed', async () => {
      const recorder = bench.recorder((grant, position, entries, call) =>
        call < 3 ? Promise.reject(new Error('broken')) : bench.commitAll(grant, position, entries),
      );
      await bench.append(0, 'a', 'b');
      await bench.begin(recorder).add(await bench.own(0));
      await eventually('all entries have been applied', async () => expect(await bench.applied(0)).toHaveLength(2));
      expect(recorder.calls.map(({ texts }) => texts)).toEqual([
        ['a', 'b'],
        ['a', 'b'],
        ['a', 'b'],
      ]);
    });

    it('keeps the progress of other shards if the handler of one fails', async () => {
      const recorder = bench.recorder((grant, position, entries, call) =>
        grant.index === 0 && call < 4 ? Promise.reject(new Error('broken')) : bench.commitAll(grant, position, entries),
      );
      for (const shard of [0, 1, 2]) await bench.append(shard, ...numbered(shard, 200));
      const running = bench.begin(recorder);
      for (const shard of [0, 1, 2]) await running.add(await bench.own(shard));
      await eventually('all shards have been applied', async () => {
        for (const shard of [0, 1, 2]) expect(await bench.applied(shard)).toHaveLength(200);
      });
      for (const shard of [0, 1, 2]) expect(await bench.applied(shard)).toEqual(numbered(shard, 200));
    });

    it('reports a shard as lost after StaleOwnerError, once, and keeps the other shards', async () => {
      const recorder = bench.recorder();
      const running = bench.begin(recorder);
      const grants = [await bench.own(0), await bench.own(1), await bench.own(2)];
      for (const grant of grants) await running.add(grant);
      await bench.own(1, 2);
      for (const shard of [0, 1, 2]) await bench.append(shard, 'first');
      await eventually('the stale shard is reported as lost', () => expect(bench.lost).toEqual([grants[1]]));
      expect(bench.howLost).toEqual(['refused']);
      for (const shard of [0, 1, 2]) await bench.append(shard, 'second');
      await eventually('the other shards go on', async () => {
        for (const shard of [0, 2]) expect(await bench.applied(shard)).toEqual(['first', 'second']);
      });
      expect(await bench.applied(1)).toEqual([]);
      expect(recorder.callsOf(1)).toHaveLength(1);
      expect(bench.lost).toEqual([grants[1]]);
    });

    it('recovers if the stored position differs from the cached one', async () => {
      const recorder = bench.recorder();
      await bench.append(0, 'a', 'b', 'c');
      const ids = (await bench.redis.xrange(bench.keys.mailbox(0), '-', '+')).map(([id]) => id);
      const running = bench.begin(
        bench.recorder(async (grant, position, entries, call) => {
          // As if the reply to an earlier commit of this process had been lost.
          if (call === 1) await bench.redis.set(bench.keys.position(0), ids[0] ?? '');
          await recorder.handle(grant, position, entries);
        }),
      );
      await running.add(await bench.own(0));
      await eventually('the rest of the entries has been applied', async () =>
        expect(await bench.applied(0)).toEqual(['b', 'c']),
      );
      expect(bench.lost).toEqual([]);
    });

    it('delays only the shard whose handler fails', async () => {
      const recorder = bench.recorder((grant, position, entries) =>
        grant.index === 0 ? Promise.reject(new Error('always broken')) : bench.commitAll(grant, position, entries),
      );
      const running = bench.begin(recorder);
      await running.add(await bench.own(0));
      await running.add(await bench.own(1));
      await bench.append(0, 'poison');
      await eventually('the handler has been called', () => expect(recorder.callsOf(0)).not.toHaveLength(0));
      for (let i = 1; i <= 12; i++) {
        await bench.append(1, `1/${i}`);
        await eventually('the entry of the other shard has been handled', () =>
          expect(recorder.textsOf(1)).toHaveLength(i),
        );
      }
      // The back-off doubles, so the failing shard is handled less often than the other one.
      expect(recorder.callsOf(0).length).toBeLessThan(recorder.callsOf(1).length);
    });
  },
);
