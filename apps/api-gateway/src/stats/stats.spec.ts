/** Figures of a key space with connections and messages, of all and of one account. */
import {
  ConnectionDirectory,
  SendingTimes,
  readConnectionCounts,
  storeConnectionCounts,
  type Messages,
  type MintedMessage,
} from '@app/registry';
import { CLIENT, SHARDS, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { StatsBody, toStatsBody, withoutMessages } from './stats.dto.js';
import { Stats } from './stats.js';

const PAYER = 'account:acme';

let bench: MessageBench;
let directory: ConnectionDirectory;

withMessages((begun) => (bench = begun));

beforeEach(async () => {
  directory = new ConnectionDirectory(bench.redis, bench.keys, SHARDS);
  await bench.become('online');
});

async function figures(account?: string): Promise<StatsBody> {
  const body = toStatsBody(await new Stats(bench.redis, bench.keys, directory, SHARDS).read(account));
  expect(StatsBody.parse(body)).toEqual(body);
  return body;
}

/** Accepts a message for which a payer is charged. */
async function accept(messages: Messages, message: MintedMessage, payer?: string): Promise<void> {
  const shard = messages.shardOf(message.clientId);
  await messages.accept(shard, [message], undefined, payer === undefined ? undefined : { payer });
}

const sum = (counts: readonly (number | null)[] | undefined): number =>
  (counts ?? []).reduce<number>((total, count) => total + (count ?? 0), 0);

describe('the figures of the whole key space', () => {
  it('are all zero or unknown if there is nothing', async () => {
    await bench.become(undefined);
    const body = await figures();
    expect(body).toMatchObject({
      connections: { total: 0 },
      messages: {
        unfinished: 0,
        awaiting_answer: 0,
        in_flight: null,
        unfinished_bytes: 0,
        finished: 0,
        finished_bytes: 0,
      },
      waiting: { connections_ready: 0, oldest_ready_ms: 0, connections_in_flight: 0, connections_held: 0 },
      last_hour: { latency: { p50_ms: null, p99_ms: null, sent: 0 } },
    });
    expect(body.last_hour?.online).toEqual([...Array.from({ length: 59 }, () => null), 0]);
  });

  it('count what is stored, what waits and what reached each status', async () => {
    const [first] = [await bench.add(), await bench.add()];
    await bench.become('offline', { clientId: 'away' });
    await bench.add({ clientId: 'away' });
    const waiting = await figures();
    expect(waiting.messages).toMatchObject({ unfinished: 3, finished: 0 });
    expect(waiting.messages?.unfinished_bytes).toBeGreaterThan(3000);
    expect(waiting.waiting).toMatchObject({ connections_ready: 1, connections_held: 1, connections_in_flight: 0 });
    await bench.claim();
    expect((await figures()).waiting).toMatchObject({ connections_ready: 0, connections_in_flight: 1 });
    await bench.complete({ messageId: first, attempt: 1, outcome: 'sent' });
    const { connections, messages, last_hour } = await figures();
    expect(connections).toMatchObject({ online: { host: 1 }, offline: { host: 1 }, total: 2 });
    expect(messages).toMatchObject({ unfinished: 2, finished: 1 });
    expect(sum(last_hour?.messages.queued)).toBe(2);
    expect(sum(last_hour?.messages.held)).toBe(1);
    expect(sum(last_hour?.messages.sent)).toBe(1);
    expect(last_hour?.messages.sent).toHaveLength(60);
  });

  it('have the percentiles of the times to the broker, and the connections that there are now', async () => {
    const times = new SendingTimes(bench.redis, bench.keys);
    for (let i = 0; i < 98; i++) times.observe(4);
    times.observe(900);
    times.observe(900);
    await times.add();
    await storeConnectionCounts(bench.redis, bench.keys, await directory.summary());
    await bench.become('online', { clientId: 'second' });
    const { last_hour: hour } = await figures();
    expect(hour?.latency).toMatchObject({ p50_ms: 4, p99_ms: 1000, sent: 100 });
    expect(hour?.latency.minutes.filter(({ p50_ms }) => p50_ms !== null)).toHaveLength(1);
    expect(hour?.online.at(-1)).toBe(2);
    expect(Date.parse(hour?.from ?? '') % 60_000).toBe(0);
  });

  it('have the connections of each minute, which the first gateway counts', async () => {
    await storeConnectionCounts(bench.redis, bench.keys, await directory.summary());
    await bench.become('online', { clientId: 'second' });
    await storeConnectionCounts(bench.redis, bench.keys, await directory.summary());
    const counts = await readConnectionCounts(bench.redis, bench.keys, Date.now());
    const online = counts.map((counted) => counted?.online.host ?? 0);
    // A minute may have ended between the two counts.
    expect([1, 3]).toContain(sum(online));
  });
});

describe('the figures of an account', () => {
  it('are those of its connections and of the messages that its callers have sent, and nothing of the service', async () => {
    const { redis, keys, messages } = bench;
    await redis.zadd(keys.online(messages.shardOf(CLIENT), 'host', 'acme'), 0, CLIENT);
    await accept(messages, bench.minted(), PAYER);
    await accept(messages, bench.minted({ clientId: 'another' }));
    const sent = bench.minted();
    await accept(messages, sent, PAYER);
    await messages.cancel(sent.messageId);
    const body = await figures('acme');
    expect(body).toMatchObject({
      connections: { online: { host: 1, total: 1 }, total: 1 },
      messages: { unfinished: null, awaiting_answer: null, in_flight: 0, finished: 1 },
      waiting: null,
      last_hour: null,
    });
    expect(body.messages?.unfinished_bytes).toBeGreaterThan(1000);
    expect(body.messages?.unfinished_bytes).toBeLessThan(2000);
    expect((await figures('nobody')).messages).toMatchObject({ unfinished_bytes: 0, finished: 0, finished_bytes: 0 });
  });
});

it('a caller without the scope messages:read gets the connections alone', async () => {
  await bench.add();
  const body = withoutMessages(await figures());
  expect(body).toMatchObject({ connections: { total: 1 }, messages: null, waiting: null, last_hour: null });
});
