import type { ClaimedMessage } from '@app/registry';
import {
  OUT,
  TOPICS,
  client,
  withOutboundShards,
  type OutboundBench,
} from '../../../../test/support/outbound-bench.js';
import { quiet } from '../../../../test/support/servers.js';
import { Publishing, resultOf } from './publishing.js';
import { Semaphore } from './semaphore.js';

let bench: OutboundBench;

withOutboundShards((one) => (bench = one));

describe('the outcome of a publish', () => {
  const message = { clientId: 'a', messageId: 'm', attempt: 3 } as ClaimedMessage;
  const claim = { clientId: 'a', messageId: 'm', attempt: 3 };

  it.each([
    [{ kind: 'acknowledged' }, { ...claim, outcome: 'sent' }],
    [{ kind: 'no-subscribers' }, { ...claim, outcome: 'no-subscribers' }],
    [
      { kind: 'refused', permanent: true, details: 'x' },
      { ...claim, outcome: 'failed', details: 'x' },
    ],
    [
      { kind: 'refused', permanent: false, details: 'x' },
      { ...claim, outcome: 'retry', details: 'x' },
    ],
    [
      { kind: 'unknown', details: 'x' },
      { ...claim, outcome: 'retry', details: 'x: the outcome of a publish is unknown' },
    ],
    [{ kind: 'late' }, { clientId: 'a', messageId: 'm', outcome: 'unwritten' }],
  ] as const)('%j becomes the result %j', (outcome, result) => {
    expect(resultOf(message, outcome)).toEqual(result);
  });

  it('names the topic and the id of the answer', async () => {
    const id = client(0, 0);
    const [messageId = ''] = await bench.accept(0, id);
    await bench.own(0, bench.dependenciesOf(new Semaphore(5)));
    await bench.untilEmpty([0, id]);
    expect(bench.broker.published.map(({ properties }) => properties)).toMatchObject([
      { responseTopic: `in/${id}`, correlationData: Buffer.from(messageId) },
    ]);
  });

  it('says in the envelope when the time to live of the message ends', async () => {
    const id = client(0, 0);
    const [messageId = ''] = await bench.accept(0, id, 1, { ttlMs: 90_000 });
    const stored = await bench.messages.read(messageId);
    await bench.own(0, bench.dependenciesOf(new Semaphore(5)));
    await bench.untilEmpty([0, id]);
    const [envelope] = bench.broker.published.map(({ payload }) => JSON.parse(payload) as { expires: string });
    expect(Date.parse(envelope?.expires ?? '')).toBe(stored?.expiresAt);
  });

  it('fails a message that cannot be encoded', async () => {
    await bench.accept(0, client(0, 0));
    const outTopic = new Proxy(OUT, {
      get: () => () => {
        throw new Error('no such topic');
      },
    });
    await bench.own(
      0,
      bench.dependenciesOf(new Semaphore(5), {
        publishing: new Publishing(bench.publisher, { ...TOPICS, out: outTopic }, quiet),
      }),
    );
    await bench.untilEmpty([0, client(0, 0)]);
    const page = await bench.messages.list(client(0, 0), 10);
    expect(page.messages.map(({ status }) => status)).toEqual(['failed']);
    expect(bench.published()).toEqual([]);
  });

  it.each([
    ['its time to live has ended', { expiresAt: () => performance.now() - 1, writeBy: () => Infinity }],
    ['the lease may have ended', { expiresAt: () => Infinity, writeBy: () => performance.now() - 1 }],
  ])('writes nothing if %s', async (_, limits) => {
    const times = { ...limits, redisNow: () => 0 };
    const publishing = new Publishing(bench.publisher, TOPICS, quiet);
    const message = { clientId: 'a', messageId: 'm', directive: 'd', attempt: 1, expiresAt: 0 } as ClaimedMessage;
    const result = await publishing.publish(message, 0, times, new AbortController().signal);
    expect(result).toEqual({ clientId: 'a', messageId: 'm', outcome: 'unwritten' });
    expect(bench.published()).toEqual([]);
  });
});
