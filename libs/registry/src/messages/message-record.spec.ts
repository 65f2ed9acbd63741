import { CLIENT, SHARD, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { changeStoredMessage, storeFormerMessage, storedMessage } from '../../../../test/support/stored-message.js';
import { STORED_STATUSES } from '../message-status.js';
import { parseMessageRecord } from './message-record.js';

let bench: MessageBench;

withMessages((begun) => (bench = begun));

/** Text and message. The text is written by one release and read by the next, so it may change with a new form only. */
const GOLDEN = [
  '1 queued 1 1 1764444231123 600000 3600000 1234 689 0\nkey:1\nhost-1\nacme\n\nrhc:work\nrequest-1\nq0\ti12\tq34 no PUBACK\n{"a":"\n"}',
  {
    clientId: 'host-1',
    account: 'acme',
    directive: 'rhc:work',
    status: 'queued',
    createdAt: 1764444231123,
    expiresAt: 1764444831123,
    history: [
      { status: 'queued', at: 1764444231123 },
      { status: 'in_flight', at: 1764444231135 },
      { status: 'queued', at: 1764444231157, details: 'no PUBACK' },
    ],
    responseDeadline: undefined,
    progress: undefined,
    answer: undefined,
    answerPayloadJson: undefined,
    hasAnswerKey: false,
  },
] as const;

/** The same for a message that has been sent, which expects an answer and has progress. */
const AWAITING = [
  GOLDEN[0]
    .replace('1 queued', '2 sent')
    .replace(
      'PUBACK\n',
      'PUBACK\ts40\n5000\t1764444236163\tgateway-1,gateway-2\t{"percent":50,"at":1764444231170}\t\t\n',
    )
    .replace('{"a":"\n"}', ''),
  {
    ...GOLDEN[1],
    status: 'sent',
    history: [...GOLDEN[1].history, { status: 'sent', at: 1764444231163 }],
    responseDeadline: 1764444236163,
    progress: { percent: 50, at: 1764444231170 },
  },
] as const;

/** The same for an answer that came too late. */
const ANSWERED = [
  AWAITING[0]
    .replace('2 sent', '2 unanswered')
    .replace('\t\t\n', '\tanswer%091\t{"received_at":1764444240000,"size":7}\n{"b":\n2}'),
  {
    ...AWAITING[1],
    status: 'unanswered',
    answer: { messageId: 'answer\t1', receivedAt: 1764444240000, size: 7, omitted: undefined, late: true },
    answerPayloadJson: '{"b":\n2}',
  },
] as const;

const stored = async (id: string): Promise<string> => (await bench.redis.get(bench.keys.message(SHARD, id))) ?? '';

describe('the record of a message', () => {
  it('is read by TypeScript as the golden text says', () => {
    expect(parseMessageRecord(GOLDEN[0])).toEqual(GOLDEN[1]);
    for (const form of ['2', '3']) expect(parseMessageRecord(GOLDEN[0].replace('1', form))).toBeUndefined();
    expect(parseMessageRecord(GOLDEN[0].replace(/^1 queued/, '1 replayed'))).toBeUndefined();
    expect(parseMessageRecord(GOLDEN[0].slice(0, 80))).toBeUndefined();
    expect(parseMessageRecord(AWAITING[0])).toEqual(AWAITING[1]);
    expect(parseMessageRecord(ANSWERED[0])).toEqual(ANSWERED[1]);
  });

  it('shows an answer as late only if the message had another final status before', () => {
    for (const [status, late] of [
      ['answered', false],
      ['failed', true],
      ['expired', true],
      ['cancelled', true],
    ] as const) {
      expect(parseMessageRecord(ANSWERED[0].replace('unanswered', status))?.answer?.late).toBe(late);
    }
  });

  it('of a message with deadline, progress and waiting gateways is written by Lua as it was read', async () => {
    await bench.become('online', { account: 'acme' });
    const id = await bench.add();
    const line = '5000\t0\tgateway-1\t{"details":"50%25 %09","at":1}\t\t';
    await changeStoredMessage(bench.redis, bench.keys.message(SHARD, id), { form: '2', answer_line: line });
    await bench.claim();
    const after = await storedMessage(bench.redis, bench.keys.message(SHARD, id));
    expect(after).toMatchObject({ form: '2', status: 'in_flight', answer_line: line, payload: '{"a":1}' });
  });

  it('with an answer reads with the payload of the answer, also if that has a key of its own', async () => {
    const id = bench.messages.mint(CLIENT);
    const key = bench.keys.message(SHARD, id);
    await bench.redis.set(key, ANSWERED[0]);
    expect((await bench.messages.read(id))?.answer).toMatchObject({ messageId: 'answer\t1', payloadJson: '{"b":\n2}' });
    await bench.redis.set(key, ANSWERED[0].replace(' 0\n', ' 1\n').replace('{"b":\n2}', ''));
    await bench.redis.set(bench.keys.payload(SHARD, id), '"large"');
    expect((await bench.messages.read(id))?.answer).toMatchObject({ payloadJson: '"large"' });
  });

  it('is read and written by Lua as the golden text says', async () => {
    await bench.become('online', { account: 'acme' });
    const id = await bench.add();
    const now = await bench.now();
    const text = GOLDEN[0].replace('1764444231123', `${now}`);
    await bench.redis.set(bench.keys.message(SHARD, id), text);
    expect(await bench.claim()).toMatchObject({
      directive: 'rhc:work',
      payloadJson: '{"a":"\n"}',
      requestId: 'request-1',
      attempt: 2,
      createdAt: now,
      expiresAt: now + 600_000,
    });
    const [before, after] = [text, await stored(id)].map((one) => one.replace('1 queued 1', '1 in_flight 2'));
    expect(after?.replace(/\ti\d+\n/, '\n')).toBe(before);
  });

  it('of a finished message has neither its payload nor its request id', async () => {
    await bench.become('offline');
    const id = await bench.add();
    expect(await stored(id)).toMatch(
      /^1 queued 0 0 \d+ 600000 3600000 \d+ \d+ 0\nunknown\nhost-1\n\n\nrhc:work\nrequest-1\nq0\n\{"a":1\}$/,
    );
    await bench.messages.cancel(id);
    expect(await stored(id)).toMatch(
      /^1 cancelled 0 0 \d+ 600000 3600000 \d+ \d+ 0\nunknown\nhost-1\n\n\nrhc:work\n\nq0\tc\d+\n$/,
    );
  });

  it('keeps texts with any characters apart', async () => {
    const [directive, idempotencyKey] = ['a\nb\t%0A%\u0000\u007f é', 'k\nl\u2028'];
    const clientId = CLIENT;
    await bench.become('online');
    const { messageId } = await bench.accepted({ clientId, directive, idempotencyKey });
    expect(await bench.messages.read(messageId)).toMatchObject({ directive, clientId });
    expect((await bench.claim()).directive).toBe(directive);
    expect(await bench.messages.read(messageId)).toMatchObject({ directive, clientId });
    await bench.complete({ messageId, attempt: 1, outcome: 'failed', details: 'a\nb\u2028c' });
    expect((await bench.messages.read(messageId))?.history.at(-1)).toMatchObject({ details: 'a b\u2028c' });
  });

  it('can tell the statuses of a history by their first letters', () => {
    expect(new Set(STORED_STATUSES.map((status) => status[0])).size).toBe(STORED_STATUSES.length);
  });

  it('has a large payload apart, which is claimed with it', async () => {
    await bench.become('online');
    const payloadJson = JSON.stringify('x'.repeat(100_000));
    const id = await bench.add({ payloadJson });
    expect((await stored(id)).length).toBeLessThan(1000);
    expect((await bench.claim()).payloadJson).toBe(payloadJson);
    await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
    expect(await bench.redis.exists(bench.keys.payload(SHARD, id))).toBe(0);
  });
});

describe('a message of 0.1.0', () => {
  it.each(['queued', 'sent'])('reads as the same message would, if it is %s', async (status) => {
    await bench.become('online', { account: 'acme' });
    const id = await bench.add();
    if (status === 'sent') {
      const { attempt } = await bench.claim();
      await bench.complete({ messageId: id, attempt, outcome: 'sent' });
    }
    const before = await bench.messages.read(id, 'acme');
    await storeFormerMessage(bench.redis, bench.keys.message(SHARD, id));
    expect(await bench.messages.read(id, 'acme')).toEqual(before);
    expect(await bench.messages.read(id, 'another')).toBeUndefined();
  });

  it('becomes a record when it is claimed, and keeps its history', async () => {
    await bench.become('online');
    const id = await bench.add();
    await changeStoredMessage(bench.redis, bench.keys.message(SHARD, id), {
      history: 'q0\ti5\tq7 no PUBACK',
      attempts: '1',
    });
    await storeFormerMessage(bench.redis, bench.keys.message(SHARD, id));
    const before = await bench.messages.read(id);
    expect(await bench.claim()).toMatchObject({
      messageId: id,
      attempt: 2,
      payloadJson: '{"a":1}',
      requestId: 'request-1',
    });
    expect(await stored(id)).toMatch(/^1 in_flight 2 /);
    expect((await bench.messages.read(id))?.history.slice(0, 3)).toEqual(before?.history);
  });
});
