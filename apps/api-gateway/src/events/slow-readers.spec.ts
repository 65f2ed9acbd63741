/** Slow readers of the event stream, over real sockets: what they get, and what the gateway buffers for them. */
import { RegistryKeys } from '@app/registry';
import type { Redis } from '@app/platform';
import { register } from 'prom-client';
import { EventListener } from '../../../../test/support/event-listener.js';
import { EventLog, faultsIn } from '../../../../test/support/event-log.js';
import { GatewayApp } from '../../../../test/support/gateway-app.js';
import { waitUntil } from '../../../../scripts/stack.mjs';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually } from '../../../../test/support/servers.js';

const SHARDS = 4;
const MIB = 1_048_576;
const KILOBYTE = { filling: 'x'.repeat(900) };

let redis: Redis;
let url: string;
let log: EventLog;
let gateway: GatewayApp;
let keySpaces = 0;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

afterEach(async () => {
  await gateway.stop();
  await eventually('the gateway buffers no more events', async () => expect(await bufferedBytes()).toBe(0));
});

async function begin(settings: Record<string, string> = {}): Promise<void> {
  const prefix = `slow${keySpaces++}`;
  log = new EventLog(redis, new RegistryKeys(prefix), SHARDS);
  gateway = await GatewayApp.listen({ REDIS_URL: url, KEY_PREFIX: prefix, SHARD_COUNT: `${SHARDS}`, ...settings });
}

async function bufferedBytes(): Promise<number> {
  const { values } = (await register.getSingleMetric('cloud_connector_event_buffered_bytes')?.get()) ?? { values: [] };
  return Number(values[0]?.value);
}

/** Appends `count` events of 1 KB to the shards by turns, and calls `act` after each hundred. */
async function appendMany(count: number, act: (appended: number) => Promise<void> | void): Promise<void> {
  for (let i = 0; i < count / 100; i++) {
    await log.append(i % SHARDS, 100, KILOBYTE);
    await act(log.appended.length);
  }
}

it('the gateway sends 20,000 events in order to a slow reader, buffers at most 1 MiB for it, and lets no other reader wait', async () => {
  await begin();
  const [slow, quick] = await Promise.all([EventListener.open(gateway.url), EventListener.open(gateway.url)]);
  let most = 0;
  slow.take(0);
  await appendMany(20_000, async (appended) => {
    most = Math.max(most, await bufferedBytes());
    if (appended % 2000 === 0) slow.take(4096);
  });
  await quick.until('the quick reader has all 20,000 events', () => expect(quick.received).toHaveLength(20_000));
  // The quick reader has everything: these bytes are buffered for the slow one.
  expect(await bufferedBytes()).toBeLessThanOrEqual(MIB);
  expect(await bufferedBytes()).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(2 * MIB);
  expect(slow.received.length).toBeLessThan(19_000);
  slow.take(Infinity);
  await slow.until('the slow reader has all 20,000 events', () => expect(slow.received).toHaveLength(20_000));
  for (const reader of [slow, quick]) expect(faultsIn(reader.received, log.appended)).toEqual([]);
  for (const reader of [slow, quick])
    expect(reader.received.every(({ event }) => event === 'message.status')).toBe(true);
  for (const reader of [slow, quick]) reader.close();
});

it('the gateway refuses a reader beyond EVENT_BUFFER_TOTAL with 503, and admits it when another one has left', async () => {
  await begin({ EVENT_BUFFER_TOTAL: `${MIB}`, EVENT_STREAMS: '1000', EVENT_STREAMS_PER_KEY: '1000' });
  // A page of 4 KiB for each, in half of it.
  const readers = await Promise.all(Array.from({ length: 128 }, () => EventListener.open(gateway.url)));
  await expect(EventListener.open(gateway.url)).rejects.toThrow(/^503 application\/problem\+json/);
  readers[0]?.close();
  const last = await waitUntil(() => EventListener.open(gateway.url));
  const [event] = await log.append(1, 1);
  for (const reader of [...readers.slice(1), last]) {
    await reader.until('the reader has the event', () =>
      expect(reader.received.map(({ data }) => data['event_id'])).toEqual([event?.event_id]),
    );
    reader.close();
  }
});
