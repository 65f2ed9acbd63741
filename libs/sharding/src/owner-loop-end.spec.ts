/** How the owner loop ends: for one shard, and as a whole. */
import { onEachTopology, type LoopBench } from '../../../test/support/owner-loop.js';
import { eventually, gate } from '../../../test/support/servers.js';

let bench: LoopBench;

onEachTopology(
  (opened) => (bench = opened),
  () => {
    it('stops reading a removed shard after its current batch, and then forgets it', async () => {
      const mayFinish = gate();
      const handling = gate();
      const recorder = bench.recorder(async (grant, position, entries) => {
        handling.open();
        await mayFinish.passed;
        await bench.commitAll(grant, position, entries);
      });
      const running = bench.begin(recorder);
      const grant = await bench.own(0);
      await bench.append(0, 'current');
      await running.add(grant);
      await handling.passed;
      let removed = false;
      const removing = running.remove(grant).then(() => {
        removed = true;
      });
      await bench.append(0, 'for the next owner');
      await bench.redis.ping();
      expect(removed).toBe(false);
      mayFinish.open();
      await removing;
      expect(recorder.forgotten).toEqual([grant]);
      const other = await bench.own(1);
      await bench.append(1, 'other');
      await running.add(other);
      await eventually('the entry of the other shard has been handled', () =>
        expect(recorder.textsOf(1)).toEqual(['other']),
      );
      expect(recorder.textsOf(0)).toEqual(['current']);
    });

    it('does not handle a batch of a shard whose lease is overdue, and reports the shard as lost', async () => {
      const recorder = bench.recorder();
      const running = bench.begin(recorder);
      const grant = await bench.own(0);
      await running.add(grant);
      bench.overdue.push(grant);
      await bench.append(0, 'late');
      await eventually('the shard is reported as lost', () => expect(bench.lost).toContain(grant));
      expect(bench.howLost).toEqual(['overdue']);
      expect(recorder.calls).toEqual([]);
      expect(await bench.redis.xlen(bench.keys.mailbox(0))).toBe(1);
    });

    it('waits at its stop for the current batch, and reads no more', async () => {
      const mayFinish = gate();
      const handling = gate();
      const recorder = bench.recorder(async (grant, position, entries) => {
        handling.open();
        await mayFinish.passed;
        await bench.commitAll(grant, position, entries);
      });
      const running = bench.begin(recorder);
      await bench.append(0, 'current');
      await running.add(await bench.own(0));
      await handling.passed;
      await bench.append(0, 'too late');
      let stopped = false;
      const stopping = running.stop().then(() => {
        stopped = true;
      });
      await bench.redis.ping();
      expect(stopped).toBe(false);
      mayFinish.open();
      await stopping;
      expect(await bench.applied(0)).toEqual(['current']);
      expect(await bench.redis.xlen(bench.keys.mailbox(0))).toBe(1);
      expect(recorder.calls).toHaveLength(1);
    });

    it('stops at once if no shard was ever added', async () => {
      await expect(bench.begin(bench.recorder()).stop()).resolves.toBeUndefined();
    });

    it('does not wait at its stop for the back-off of a handler that fails', async () => {
      const recorder = bench.recorder(() => Promise.reject(new Error('always broken')));
      const running = bench.begin(recorder);
      await bench.append(0, 'x');
      await running.add(await bench.own(0));
      await eventually('the handler has failed twice', () => expect(recorder.calls.length).toBeGreaterThan(1));
      await running.stop();
      const calls = recorder.calls.length;
      await bench.append(0, 'y');
      await bench.redis.ping();
      expect(recorder.calls).toHaveLength(calls);
    });
  },
);
