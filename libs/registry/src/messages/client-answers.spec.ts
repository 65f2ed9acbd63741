/** Answers of clients, as the acts of a commit apply them to messages. */
import { FencedCommit } from '../commits/fenced-commit.js';
import {
  CLIENT,
  GRANT,
  SHARD,
  claimed,
  neighbour,
  withMessages,
  type MessageBench,
} from '../../../../test/support/message-bench.js';
import { storedMessage } from '../../../../test/support/stored-message.js';
import { DueTodos } from '../todos/due-work.js';
import type { Answer } from './message-report.js';
import type { MintedMessage } from './messages.js';
import { reportAct, type ReportOutcome } from './report-act.js';

const AT = 1_700_000_000_000;

let bench: MessageBench;
let commits: FencedCommit;

withMessages((begun) => (bench = begun));

beforeEach(async () => {
  await bench.become('online');
  await bench.own();
  commits = new FencedCommit(bench.redis, bench.keys);
});

interface Options {
  clientId?: string;
  mayEmit?: boolean;
  omitLarge?: boolean;
}

async function report(answer: Answer, { clientId = CLIENT, mayEmit = true, omitLarge = false }: Options = {}) {
  const act = reportAct({ kind: 'answer', clientId, at: AT, answer, mayEmit }, omitLarge);
  const outcome = await commits.commit(GRANT, '0-0', '0-0', [act]);
  return outcome.kind === 'committed' ? outcome.reports[0] : undefined;
}

function response(inResponseTo: string, messageId = 'r-1', payloadJson = '{"pong":[1.0]}'): Answer {
  return { type: 'message-response', inResponseTo, messageId, payloadJson };
}

function error(inResponseTo: string, messageId = 'e-1', details = 'no disk'): Answer {
  return { type: 'message-error', inResponseTo, messageId, details };
}

async function events(key = bench.keys.events(SHARD)): Promise<Record<string, unknown>[]> {
  const entries = await bench.redis.xrange(key, '-', '+');
  return entries.map(([, fields]) => JSON.parse(fields[fields.indexOf('event') + 1] ?? '') as Record<string, unknown>);
}

/** A message that was sent. */
async function sent(more: Partial<MintedMessage> = {}): Promise<string> {
  const id = await bench.add(more);
  const { attempt } = await bench.claim();
  await bench.complete({ messageId: id, attempt, outcome: 'sent' });
  return id;
}

/** A message whose PUBACK was lost: it waits for its next attempt. */
async function returned(): Promise<string> {
  const id = await bench.add();
  const { attempt } = await bench.claim();
  await bench.complete({ messageId: id, attempt, outcome: 'retry', details: 'no PUBACK' });
  return id;
}

const CLAIMED: [string, () => Promise<string>][] = [
  [
    'in flight',
    async () => {
      const id = await bench.add();
      await bench.claim();
      return id;
    },
  ],
  ['sent', () => sent()],
  ['sent, and awaits its answer', () => sent({ responseTimeoutMs: 60_000 })],
  ['queued again, since its PUBACK was lost', returned],
  [
    'held, since its PUBACK was lost and the client is offline',
    async () => {
      const id = await returned();
      await bench.become('offline');
      return id;
    },
  ],
];

describe.each(CLAIMED)('a response to a message that is %s', (_, claimedMessage) => {
  it('makes it answered, with the payload as the client wrote it, and emits the size', async () => {
    const id = await claimedMessage();
    expect(await report(response(id))).toBe('answered');
    const message = await bench.messages.read(id);
    expect(message?.status).toBe('answered');
    const known = { messageId: 'r-1', receivedAt: AT, size: 14, omitted: undefined, late: false };
    expect(message?.answer).toEqual({ ...known, payloadJson: '{"pong":[1.0]}' });
    const about = { type: 'message.status', client_id: CLIENT, message_id: id };
    expect((await events()).at(-1)).toEqual({ ...about, status: 'answered', answer_size: 14 });
  });

  it('takes it out of the outbox, and no later completion or claim changes it', async () => {
    const id = await claimedMessage();
    const next = await bench.add();
    await report(response(id));
    expect(await bench.outbox()).toEqual([next]);
    expect(await bench.redis.zscore(bench.keys.expiry(SHARD), id)).toBeNull();
    await bench.become('online');
    const statuses = await bench.statuses(id);
    for (const outcome of ['sent', 'retry', 'failed'] as const) {
      await bench.complete({ messageId: id, attempt: 1, outcome, details: 'of the broker' });
    }
    expect(await bench.statuses(id)).toEqual(statuses);
    expect((await bench.messages.read(id))?.answer?.messageId).toBe('r-1');
    expect(claimed(await bench.takeOver()).messageId).toBe(next);
  });

  it('charges it as a finished message with its answer, whatever it was before', async () => {
    for (const payloadJson of ['1', `"${'x'.repeat(5000)}"`, '{}']) {
      expect(await report(response(await claimedMessage(), 'r-1', payloadJson))).toBe('answered');
      await bench.become('online');
    }
    const ids = await bench.redis.zrange(bench.keys.messages(SHARD, CLIENT), '0', '-1');
    const bytes = await Promise.all(
      ids.map(async (one) => {
        const {
          finished_bytes,
          bytes,
          history = '',
          answer_line = '',
        } = await storedMessage(bench.redis, bench.keys.message(SHARD, one));
        const payload = (await bench.messages.read(one))?.answer?.payloadJson ?? '';
        expect(Number(bytes)).toBe(Number(finished_bytes) + history.length + answer_line.length + 1 + payload.length);
        return Number(bytes);
      }),
    );
    expect(Number(await bench.redis.zscore(bench.keys.finishedBytes(SHARD), ''))).toBe(
      bytes.reduce((sum, one) => sum + one, 0),
    );
    expect(await bench.redis.get(bench.keys.finishedCount(SHARD))).toBe('3');
    const unfinished = [bench.keys.outboxBytes(SHARD), bench.keys.awaiting(SHARD), bench.keys.expiry(SHARD)];
    expect(await bench.redis.exists(...unfinished)).toBe(0);
  });

  it('cannot be cancelled and does not expire any more', async () => {
    const id = await claimedMessage();
    await report(response(id));
    expect(await bench.messages.cancel(id)).toEqual({ kind: 'too-late', status: 'answered' });
    expect((await bench.messages.read(id))?.status).toBe('answered');
  });
});

it('a message that is claimed ahead is answered with its publish noted, before its completion comes', async () => {
  const [first, ahead] = [await bench.add(), await bench.add()];
  const { attempt } = await bench.claim();
  await bench.add();
  await bench.complete({ messageId: first, attempt, outcome: 'sent' });
  expect(await report(response(ahead))).toBe('answered');
  expect(await bench.statuses(ahead)).toEqual(['queued', 'in_flight', 'answered']);
  expect(await bench.eventsOf(ahead)).toEqual(['queued', 'in_flight', 'answered']);
});

it.each([undefined, 'null', `"${'x'.repeat(5000)}"`, '"\\n\\t%0A % \\u0000"'])(
  'a payload is read back as it was written (%#)',
  async (payloadJson) => {
    const id = await sent();
    await report({
      type: 'message-response',
      inResponseTo: id,
      messageId: 'r\t%1\n',
      ...(payloadJson && { payloadJson }),
    });
    expect((await bench.messages.read(id))?.answer).toMatchObject({
      messageId: 'r\t%1\n',
      size: payloadJson?.length ?? 0,
    });
    expect((await bench.messages.read(id))?.answer?.payloadJson).toBe(payloadJson);
    // A change that rewrites the record leaves the payload.
    expect(await report(response(id, 'r-2'))).toBe('already-final');
    expect((await bench.messages.read(id))?.answer?.payloadJson).toBe(payloadJson);
  },
);

describe('of several answers', () => {
  it.each<[string, (id: string) => Answer, (id: string) => Answer, ReportOutcome]>([
    ['a repeat of a response', response, response, 'repeated'],
    ['another response', response, (id) => response(id, 'r-2'), 'already-final'],
    ['an error after a response', response, error, 'already-final'],
    ['a response after an error', error, response, 'already-final'],
    ['a repeat of an error', error, error, 'repeated'],
    ['another error', error, (id) => error(id, 'e-2', 'still no disk'), 'repeated'],
  ])('%s changes nothing', async (_, first, second, wanted) => {
    const id = await sent();
    await report(first(id));
    const [record, emitted] = [await storedMessage(bench.redis, bench.keys.message(SHARD, id)), await events()];
    expect(await report(second(id))).toBe(wanted);
    expect(await storedMessage(bench.redis, bench.keys.message(SHARD, id))).toEqual(record);
    expect(await events()).toEqual(emitted);
  });
});

describe('an answer that matches no message', () => {
  const unmatched: [string, ReportOutcome, () => Promise<{ id: string; clientId?: string }>][] = [
    ['is unknown', 'unknown', async () => Promise.resolve({ id: bench.messages.mint(CLIENT) })],
    ['was for another client', 'foreign', async () => ({ id: await sent(), clientId: neighbour('stranger') })],
    ['was never claimed', 'not-published', async () => ({ id: await bench.add() })],
    [
      'was cancelled before it was claimed',
      'not-published',
      async () => {
        const id = await bench.add();
        await bench.messages.cancel(id);
        return { id };
      },
    ],
    [
      'belongs to another account than its client',
      'foreign',
      async () => {
        await bench.become('online', { account: 'acme' });
        const id = await sent();
        await bench.become('online', { account: 'another' });
        return { id };
      },
    ],
    [
      'has an answer',
      'already-final',
      async () => {
        const id = await sent();
        await report(response(id, 'r-0'));
        return { id };
      },
    ],
  ];

  it.each(unmatched)(
    'changes nothing and becomes an event with the reason, if the message %s',
    async (_, reason, begin) => {
      const { id, clientId = CLIENT } = await begin();
      const before = await bench.messages.read(id);
      expect(await report(response(id), { clientId })).toBe(reason);
      expect(await bench.messages.read(id)).toEqual(before);
      const about = { client_id: clientId, in_response_to: id, message_id: 'r-1', reason };
      expect(await events(bench.keys.refusalEvents(SHARD))).toEqual([{ type: 'message.unmatched_response', ...about }]);
    },
  );

  it.each(unmatched)(
    'becomes message.unmatched_error, which has no reason, if it is an error and the message %s',
    async (_, reason, begin) => {
      const { id, clientId = CLIENT } = await begin();
      expect(await report(error(id), { clientId })).toBe(reason);
      const about = { client_id: clientId, in_response_to: id, details: 'no disk' };
      expect(await events(bench.keys.refusalEvents(SHARD))).toEqual([{ type: 'message.unmatched_error', ...about }]);
    },
  );

  it('becomes no event if its client has reached its limit', async () => {
    expect(await report(response('unknown'), { mayEmit: false })).toBe('unknown');
    expect(await events(bench.keys.refusalEvents(SHARD))).toEqual([]);
  });
});

describe('a late answer', () => {
  async function over(how: 'failed' | 'expired' | 'cancelled' | 'unanswered'): Promise<string> {
    if (how === 'unanswered') {
      const id = await sent({ responseTimeoutMs: 60_000 });
      await bench.redis.zadd(bench.keys.awaiting(SHARD), 1, id);
      await new DueTodos(bench.redis, bench.keys).claim(GRANT);
      return id;
    }
    if (how === 'failed') {
      const id = await bench.add();
      await bench.claim();
      await bench.endTimeToLive(id);
      await bench.takeOver();
      return id;
    }
    const id = await returned();
    if (how === 'cancelled') await bench.messages.cancel(id);
    else {
      await bench.endTimeToLive(id);
      await bench.takeOver();
    }
    return id;
  }

  it.each(['failed', 'expired', 'cancelled', 'unanswered'] as const)(
    'to a message that is %s is shown as late and emitted; the status stays',
    async (how) => {
      const id = await over(how);
      expect((await bench.messages.read(id))?.status).toBe(how);
      const history = await bench.statuses(id);
      expect(await report(response(id))).toBe('late');
      const message = await bench.messages.read(id);
      expect(message).toMatchObject({ status: how, answer: { late: true, payloadJson: '{"pong":[1.0]}' } });
      expect(await bench.statuses(id)).toEqual(history);
      const about = { type: 'message.status', client_id: CLIENT, message_id: id };
      expect((await events()).at(-1)).toEqual({ ...about, status: how, answer_size: 14, late: true });
      expect([await report(response(id)), await report(response(id, 'r-2'))]).toEqual(['repeated', 'already-final']);
    },
  );

  it('that is an error shows its details as its payload', async () => {
    const id = await over('expired');
    expect(await report(error(id))).toBe('late');
    expect((await bench.messages.read(id))?.answer?.payloadJson).toBe('{"details":"no disk"}');
  });
});

describe('the bytes of an answer', () => {
  const finishedBytes = async () => Number((await bench.redis.zscore(bench.keys.finishedBytes(SHARD), '')) ?? 0);
  const large = `"${'x'.repeat(9998)}"`;

  it('count among those of the finished messages, until the message is forgotten with its payload', async () => {
    const id = await sent();
    const before = await finishedBytes();
    await report(response(id, 'r-1', large));
    expect(await finishedBytes()).toBeGreaterThanOrEqual(before + 10_000);
    expect(await bench.redis.exists(bench.keys.payload(SHARD, id))).toBe(1);
    await bench.endRetention(id);
    await new DueTodos(bench.redis, bench.keys).claim(GRANT);
    expect(await bench.messages.read(id)).toBeUndefined();
    expect(await bench.redis.exists(bench.keys.payload(SHARD, id), bench.keys.finishedBytes(SHARD))).toBe(0);
  });

  it('free those of an unfinished message', async () => {
    const id = await returned();
    await report(response(id, 'r-1', large));
    expect(await bench.redis.exists(bench.keys.outboxBytes(SHARD))).toBe(0);
    expect(await finishedBytes()).toBeGreaterThanOrEqual(10_000);
  });

  it('are left out above the memory mark if they are many, and the size is shown', async () => {
    const [id, other] = [await sent(), await sent()];
    expect(await report(response(id, 'r-1', large), { omitLarge: true })).toBe('answered');
    expect((await bench.messages.read(id))?.answer).toMatchObject({
      ...{ size: 10_000, omitted: 'storage-full', payloadJson: undefined },
    });
    await report(response(other), { omitLarge: true });
    expect((await bench.messages.read(other))?.answer).toMatchObject({
      omitted: undefined,
      payloadJson: '{"pong":[1.0]}',
    });
  });
});
