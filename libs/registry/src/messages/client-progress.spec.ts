/** Progress that clients report, as the acts of a commit apply it to messages. */
import { FencedCommit } from '../commits/fenced-commit.js';
import {
  CLIENT,
  GRANT,
  SHARD,
  neighbour,
  withMessages,
  type MessageBench,
} from '../../../../test/support/message-bench.js';
import { changeStoredMessage } from '../../../../test/support/stored-message.js';
import type { Progress } from './message-report.js';
import { reportAct } from './report-act.js';

const AT = 1_700_000_000_000;

let bench: MessageBench;
let commits: FencedCommit;

withMessages((begun) => (bench = begun));

beforeEach(async () => {
  await bench.become('online');
  await bench.own();
  commits = new FencedCommit(bench.redis, bench.keys);
});

async function report(inResponseTo: string, progress: Partial<Progress>, clientId = CLIENT, at = AT) {
  const act = reportAct(
    { kind: 'progress', clientId, at, progress: { inResponseTo, messageId: 'p-1', ...progress } },
    false,
  );
  const outcome = await commits.commit(GRANT, '0-0', '0-0', [act]);
  return outcome.kind === 'committed' ? outcome.reports[0] : undefined;
}

async function respond(inResponseTo: string) {
  const answer = { type: 'message-response', inResponseTo, messageId: 'r-1', payloadJson: '1' } as const;
  const act = reportAct({ kind: 'answer', clientId: CLIENT, at: AT, answer, mayEmit: true }, false);
  await commits.commit(GRANT, '0-0', '0-0', [act]);
}

async function talk(): Promise<unknown[]> {
  const entries = await bench.redis.xrange(bench.keys.talkEvents(SHARD), '-', '+');
  return entries.map(([, fields]) => JSON.parse(fields[fields.indexOf('event') + 1] ?? '') as unknown);
}

async function sent(): Promise<string> {
  const id = await bench.add();
  const { attempt } = await bench.claim();
  await bench.complete({ messageId: id, attempt, outcome: 'sent' });
  return id;
}

describe('the progress of a message', () => {
  it.each(['in_flight', 'sent', 'queued'] as const)('is kept and emitted while it is %s', async (status) => {
    const id = await bench.add();
    const { attempt } = await bench.claim();
    if (status === 'sent') await bench.complete({ messageId: id, attempt, outcome: 'sent' });
    if (status === 'queued') await bench.complete({ messageId: id, attempt, outcome: 'retry', details: 'no PUBACK' });
    expect(await report(id, { percent: 12.5, details: 'copying' })).toBe('kept');
    expect(await bench.messages.read(id)).toMatchObject({
      ...{ status, progress: { percent: 12.5, details: 'copying', at: AT }, answer: undefined },
    });
    const about = { type: 'message.progress', client_id: CLIENT, message_id: id };
    expect(await talk()).toEqual([{ ...about, percent: 12.5, details: 'copying' }]);
  });

  it('is replaced by the next one, and stays when the answer comes', async () => {
    const id = await sent();
    await report(id, { percent: 10, details: 'x'.repeat(5000) });
    await report(id, { percent: 90 }, CLIENT, AT + 1);
    expect((await bench.messages.read(id))?.progress).toEqual({ percent: 90, at: AT + 1 });
    await respond(id);
    const message = await bench.messages.read(id);
    expect(message).toMatchObject({ status: 'answered', progress: { percent: 90 }, answer: { payloadJson: '1' } });
  });

  it('leaves the payload and the place of a message that waits for its next attempt', async () => {
    const [id, next] = [await bench.add({ payloadJson: `"${'x'.repeat(5000)}"` }), await bench.add()];
    const { attempt } = await bench.claim();
    await bench.complete({ messageId: id, attempt, outcome: 'retry', details: 'no PUBACK' });
    await report(id, { percent: 10 });
    const again = await bench.claim();
    expect([again.messageId, again.payloadJson?.length, again.attempt]).toEqual([id, 5002, 2]);
    expect(await bench.outbox()).toEqual([id, next]);
  });

  it('notes the publish of a message that is claimed ahead', async () => {
    const [first, ahead] = [await bench.add(), await bench.add()];
    const { attempt } = await bench.claim();
    await bench.complete({ messageId: first, attempt, outcome: 'sent' });
    expect(await report(ahead, { percent: 10 })).toBe('kept');
    await bench.complete({ messageId: ahead, attempt: 1, outcome: 'sent' });
    expect(await bench.statuses(ahead)).toEqual(['queued', 'in_flight', 'sent']);
    expect((await bench.messages.read(ahead))?.progress?.percent).toBe(10);
  });

  it('counts in the bytes of the message, whatever its status', async () => {
    const totals = async () => {
      const unfinished = await bench.redis.hget(bench.keys.outboxBytes(SHARD), '');
      return Number(unfinished ?? 0) + Number(await bench.redis.zscore(bench.keys.finishedBytes(SHARD), ''));
    };
    for (const begin of [() => bench.add().then(async (id) => (await bench.claim(), id)), sent]) {
      const id = await begin();
      const before = await totals();
      await report(id, { details: 'x'.repeat(500) });
      expect((await totals()) - before).toBeGreaterThan(500);
      await report(id, { percent: 1 });
      expect((await totals()) - before).toBeLessThan(100);
    }
  });

  it.each(['answered', 'failed', 'unanswered', 'expired', 'cancelled'])(
    'is ignored if the message is %s',
    async (status) => {
      const id = await sent();
      await changeStoredMessage(bench.redis, bench.keys.message(SHARD, id), { status });
      expect(await report(id, { percent: 99 })).toBe('already-final');
      expect((await bench.messages.read(id))?.progress).toBeUndefined();
      expect(await talk()).toEqual([]);
    },
  );

  it('is ignored if the message is unknown, of another client or was never claimed', async () => {
    const id = await bench.add();
    expect(await report(id, { percent: 1 })).toBe('not-published');
    await bench.claim();
    expect(await report(id, { percent: 1 }, neighbour('stranger'))).toBe('foreign');
    expect(await report('unknown', { percent: 1 })).toBe('unknown');
    expect((await bench.messages.read(id))?.progress).toBeUndefined();
    expect(await talk()).toEqual([]);
  });
});
