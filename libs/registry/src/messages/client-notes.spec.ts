/** Answers that did not count, as the acts of a commit name them in the history of their message. */
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
import { reportAct } from './report-act.js';

let bench: MessageBench;
let commits: FencedCommit;

withMessages((begun) => (bench = begun));

beforeEach(async () => {
  await bench.become('online');
  await bench.own();
  commits = new FencedCommit(bench.redis, bench.keys);
});

async function note(inResponseTo: string, details = 'too large', clientId = CLIENT) {
  const act = reportAct({ kind: 'note', clientId, at: 1, note: { inResponseTo, details } }, false);
  const outcome = await commits.commit(GRANT, '0-0', '0-0', [act]);
  return outcome.kind === 'committed' ? outcome.reports[0] : undefined;
}

async function historyOf(id: string) {
  const message = await bench.messages.read(id);
  return message?.history.map(({ status, details }) => [status, details]);
}

async function sent(): Promise<string> {
  const id = await bench.add();
  const { attempt } = await bench.claim();
  await bench.complete({ messageId: id, attempt, outcome: 'sent' });
  return id;
}

describe('an answer that did not count', () => {
  it('stands in the history before the change that gave the message its status', async () => {
    const id = await sent();
    expect(await note(id, 'too\nlarge')).toBe('noted');
    expect(await note(id, 'not JSON')).toBe('noted');
    expect(await historyOf(id)).toEqual([
      ['queued', undefined],
      ['in_flight', undefined],
      ['sent', 'too large'],
      ['sent', 'not JSON'],
      ['sent', undefined],
    ]);
    expect(await bench.messages.read(id)).toMatchObject({ status: 'sent', answer: undefined });
  });

  it('changes nothing of what is published: the message in flight is completed, and the next one follows', async () => {
    const [first, ahead] = [await bench.add(), await bench.add()];
    const { attempt } = await bench.claim();
    expect(await note(first)).toBe('noted');
    await bench.complete({ messageId: first, attempt, outcome: 'sent' });
    expect(await bench.statuses(first)).toEqual(['queued', 'in_flight', 'in_flight', 'sent']);
    expect(await note(ahead)).toBe('noted');
    await bench.complete({ messageId: ahead, attempt: 1, outcome: 'sent' });
    expect(await bench.statuses(ahead)).toEqual(['queued', 'in_flight', 'in_flight', 'sent']);
  });

  it('is named also if the message is final, and does not start its retention again', async () => {
    const id = await sent();
    const key = bench.keys.message(SHARD, id);
    await changeStoredMessage(bench.redis, key, { status: 'expired', history: 'q0\te5' });
    await note(id);
    expect((await bench.redis.get(key))?.split('\n')[7]).toMatch(/^q0\te\d+ too large\te5$/);
  });

  it('is not named to anybody but the client that the message was for, and not before it was claimed', async () => {
    const id = await bench.add();
    expect(await note(id)).toBe('not-published');
    await bench.claim();
    expect(await note(id, 'x', neighbour('stranger'))).toBe('foreign');
    expect(await note('00000000-0000-7000-8000-000000000000')).toBe('unknown');
    expect(await historyOf(id)).toEqual([
      ['queued', undefined],
      ['in_flight', undefined],
    ]);
  });

  it('leaves the history bounded, and counts in the bytes of the message', async () => {
    const id = await sent();
    const bytes = async () => Number(await bench.redis.zscore(bench.keys.finishedBytes(SHARD), ''));
    const before = await bytes();
    await note(id, 'x'.repeat(500));
    expect((await bytes()) - before).toBeGreaterThan(500);
    for (let i = 0; i < 30; i++) await note(id, `${i} ${'x'.repeat(2000)}`);
    const history = (await historyOf(id)) ?? [];
    expect(history.length).toBeLessThan(15);
    expect([history[0], history.at(-1)]).toEqual([
      ['queued', undefined],
      ['sent', undefined],
    ]);
    expect(history.at(-2)?.[1]).toMatch(/^29 x+$/);
    expect(await bytes()).toBeLessThan(before + 10_000);
  });
});
