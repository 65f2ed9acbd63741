/** How the owner loop reads mailboxes and passes batches to the handler. */
import { SHARDS, numbered, onEachTopology, type LoopBench } from '../../../test/support/owner-loop.js';
import { eventually, gate } from '../../../test/support/servers.js';
import type { MailboxEntry } from './mailbox.js';

let bench: LoopBench;

onEachTopology(
  (opened) => (bench = opened),
  () => {
    it('passes each entry of many shards to the handler once, in order', async () => {
      const recorder = bench.recorder();
      const shards = Array.from({ length: SHARDS }, (_, shard) => shard);
      for (const shard of shards) await bench.append(shard, ...numbered(shard, 300));
      const running = bench.begin(recorder);
      for (const shard of shards) await running.add(await bench.own(shard));
      await eventually('every shard has been handled', () => {
        for (const shard of shards) expect(recorder.textsOf(shard)).toHaveLength(300);
      });
      for (const shard of shards) {
        expect(recorder.textsOf(shard)).toEqual(numbered(shard, 300));
        expect(await bench.applied(shard)).toEqual(numbered(shard, 300));
        expect(await bench.redis.xlen(bench.keys.mailbox(shard))).toBe(0);
      }
    });

    it('passes one batch of a shard at a time, and continues where the last one ended', async () => {
      const recorder = bench.recorder();
      const running = bench.begin(recorder);
      await bench.append(0, ...numbered(0, 400));
      await running.add(await bench.own(0));
      for (let i = 400; i < 440; i++) await bench.append(0, `0/${i}`);
      await eventually('all entries have been handled', () => expect(recorder.textsOf(0)).toHaveLength(440));
      expect(recorder.textsOf(0)).toEqual(numbered(0, 440));
      expect(recorder.maxConcurrent).toBe(1);
      expect(recorder.calls[0]?.position).toBe('0-0');
      recorder.calls.slice(1).forEach((call, i) => expect(call.position).toBe(recorder.calls[i]?.ids.at(-1)));
      expect(recorder.calls.length).toBeGreaterThan(3);
    });

    it('reads a shard that is granted during a read, even if that read finds nothing', async () => {
      const recorder = bench.recorder();
      bench.readWithoutEnd();
      const running = bench.begin(recorder);
      for (const shard of [0, 1]) await running.add(await bench.own(shard));
      await bench.untilReading();
      await bench.append(2, 'x');
      await running.add(await bench.own(2));
      await eventually('the shard has been handled', () => expect(recorder.textsOf(2)).toEqual(['x']));
    });

    it('handles the shards of one read concurrently', async () => {
      const granted = gate();
      const begun = [gate(), gate()];
      const recorder = bench.recorder(async (grant, position, entries) => {
        // The third shard keeps the loop waiting until the next read finds entries of both other shards.
        if (grant.index === 2) await granted.passed;
        begun[grant.index]?.open();
        // If one of the two had to wait for the other, neither would end.
        if (grant.index < 2) await Promise.all(begun.map(({ passed }) => passed));
        await bench.commitAll(grant, position, entries);
      });
      const running = bench.begin(recorder);
      for (const shard of [0, 1, 2]) await bench.append(shard, 'x');
      for (const shard of [2, 0, 1]) await running.add(await bench.own(shard));
      granted.open();
      await eventually('all three shards have been applied', async () => {
        for (const shard of [0, 1, 2]) expect(await bench.applied(shard)).not.toEqual([]);
      });
    });

    it('passes entries to the handler as they were appended', async () => {
      const seen = gate<MailboxEntry>();
      const recorder = bench.recorder(async (grant, position, entries) => {
        if (entries[0] !== undefined) seen.open(entries[0]);
        await bench.commitAll(grant, position, entries);
      });
      await bench.begin(recorder).add(await bench.own(0));
      await bench.mailboxes.send(0, 'ü😀\n\n{}');
      expect(await seen.passed).toEqual({
        id: expect.stringMatching(/^\d+-\d+$/) as string,
        text: 'ü😀\n\n{}',
      });
    });

    it('reads a shard that is added while the loop runs', async () => {
      const recorder = bench.recorder();
      const running = bench.begin(recorder);
      await running.add(await bench.own(0));
      await bench.append(0, 'first');
      await eventually('the first shard has been handled', () => expect(recorder.textsOf(0)).toEqual(['first']));
      await bench.append(1, 'waits');
      await running.add(await bench.own(1));
      await eventually('the added shard has been handled', () => expect(recorder.textsOf(1)).toEqual(['waits']));
    });

    it('starts a shard from its stored position, not from its first entry', async () => {
      const recorder = bench.recorder();
      await bench.append(0, 'done', 'waits');
      const entries = await bench.redis.xrange(bench.keys.mailbox(0), '-', '+');
      const first = entries[0]?.[0] ?? '';
      await bench.redis.set(bench.keys.position(0), first);
      await bench.begin(recorder).add(await bench.own(0));
      await eventually('the rest of the shard has been handled', () => expect(recorder.textsOf(0)).toEqual(['waits']));
      expect(recorder.calls[0]?.position).toBe(first);
    });

    it('passes no entries of a shard that was removed', async () => {
      const recorder = bench.recorder();
      const running = bench.begin(recorder);
      const grant = await bench.own(0);
      await running.add(grant);
      await running.add(await bench.own(1));
      await bench.append(0, 'before');
      await eventually('the entry of the shard has been handled', () =>
        expect(recorder.textsOf(0)).toEqual(['before']),
      );
      await running.remove(grant);
      await bench.append(0, 'after');
      await bench.append(1, 'marker');
      await eventually('the entry of the other shard has been handled', () =>
        expect(recorder.textsOf(1)).toEqual(['marker']),
      );
      expect(recorder.textsOf(0)).toEqual(['before']);
    });

    it('keeps a newer grant when an older one of the same shard is removed', async () => {
      const recorder = bench.recorder();
      const running = bench.begin(recorder);
      const old = await bench.own(0, 1);
      await running.add(old);
      await running.add(await bench.own(0, 2));
      await running.remove(old);
      await bench.append(0, 'x');
      await eventually('the entry has been applied', async () => expect(await bench.applied(0)).toEqual(['x']));
    });
  },
);
