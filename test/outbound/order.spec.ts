/**
 * Thousands of connections, several dispatchers that are killed, frozen, stopped and started, and an independent subscriber:
 * every accepted message arrives, the messages of a connection arrive in the order of their acceptance, and a message arrives
 * again only if it was claimed again.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { shardOf } from '@app/protocol';
import { RegistryKeys } from '@app/registry';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { BatchResultBody } from '../../apps/api-gateway/src/messages/message.dto.js';
import { Api } from '../support/api.js';
import { publishedWithoutClaim } from '../support/claims.js';
import { Random, seedOfRun } from '../support/random.js';
import { Subscriber, firsts } from './support/subscriber.js';

const CONNECTIONS = 2000;
const CONCURRENCY = 20;
const SHARDS = 32;

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-order-'));
const random = new Random(seedOfRun());
const ids = Array.from({ length: CONNECTIONS }, (_, i) => `order-${i}`);
/** Message ids by client, in the order of their acceptance. */
const accepted = new Map<string, string[]>(ids.map((id) => [id, []]));
const env: Record<string, string> = {};
let started = 0;
let api: Api;
let store: Redis;
let subscriber: Subscriber;

type App = Awaited<ReturnType<typeof startApp>>;

async function dispatcher(): Promise<App> {
  return startApp('dispatcher', { dir, name: `dispatcher-${started++}`, env });
}

beforeAll(async () => {
  const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  Object.assign(env, {
    REDIS_URL: redis.url,
    MQTT_URL: mosquitto.url,
    LOG_LEVEL: 'warn',
    DISPATCH_CONCURRENCY: `${CONCURRENCY}`,
  });
  const [gateway] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env }),
  ]);
  api = new Api(gateway.url);
  store = new Redis(redis.url);
  subscriber = await Subscriber.connect(mosquitto.url);
  await subscriber.register(ids);
  await waitUntil(
    async () => {
      const { body } = await api.call<{ online: { total: number } }>('GET', '/v1/connections/summary');
      if (body.online.total < CONNECTIONS) throw new Error(`${body.online.total} are online`);
    },
    { what: 'all connections to be online' },
  );
});

afterAll(async () => {
  store.disconnect();
  await subscriber.close();
  await stopAll();
  rmSync(dir, { recursive: true });
});

/** Sends one message to each connection, in batches and in a partly random order. */
async function sendRound(round: number): Promise<void> {
  const clients = ids.toSorted(() => random.below(3) - 1);
  for (let from = 0; from < clients.length; from += 1000) {
    const messages = clients
      .slice(from, from + 1000)
      .map((client_id) => ({ client_id, directive: 'test:order', payload: { round } }));
    const { body } = await api.call<BatchResultBody>('POST', '/v1/messages', { messages });
    for (const { status, message } of body.results) {
      if (status !== 202 || message === undefined) throw new Error(`an item was answered with ${status}`);
      accepted.get(message.client_id)?.push(message.message_id);
    }
  }
}

/** Sends a round of messages, and injects a fault when a random number of them has arrived. */
async function sendRoundDuring(round: number, inject: () => unknown): Promise<void> {
  const expected = subscriber.count + 200 + random.below(800);
  const sending = sendRound(round);
  await waitUntil(
    () => {
      if (subscriber.count < expected) throw new Error(`${subscriber.count} of ${expected} have arrived`);
    },
    { what: `some messages of round ${round} to arrive` },
  );
  await inject();
  await sending;
}

describe('dispatchers that are killed, frozen, stopped and started', () => {
  it('keep the order of each connection, lose nothing, and repeat only messages that were claimed again', async () => {
    const [killed, frozen, stopped] = await Promise.all([dispatcher(), dispatcher(), dispatcher()]);
    const faults: (() => unknown)[] = [
      () => killed.kill(),
      () => process.kill(frozen.pid ?? 0, 'SIGSTOP'),
      async () => expect(await stopped.stop()).toBe(0),
      () => killedLater.kill(),
      () => process.kill(frozen.pid ?? 0, 'SIGCONT'),
      () => undefined,
    ];
    const killedLater = await dispatcher();
    for (const [round, inject] of faults.entries()) {
      await sendRoundDuring(round, inject);
      if (round === 2) await dispatcher();
    }
    const total = CONNECTIONS * faults.length;
    await waitUntil(
      () => {
        const distinct = ids.reduce((sum, id) => sum + new Set(subscriber.received.get(id)).size, 0);
        if (distinct < total) throw new Error(`${distinct} of ${total} have arrived`);
      },
      { what: 'every message to arrive', everyMs: 200 },
    );
    await expectSent(faults.length);
    for (const [id, expected] of accepted) {
      expect([id, firsts(subscriber.received.get(id) ?? [])]).toEqual([id, expected]);
    }
    const repeats = subscriber.count - total;
    process.stdout.write(`repeats: ${repeats} of ${total}\n`);
    const keys = new RegistryKeys('cc');
    for (const [id, received] of subscriber.received) {
      expect([id, await publishedWithoutClaim(store, keys, shardOf(id, SHARDS), received)]).toEqual([id, []]);
    }
  });
});

/** Waits until all messages of some connections have the status `sent`. */
async function expectSent(rounds: number): Promise<void> {
  for (const id of [ids[0], ids[CONNECTIONS - 1], random.pick(ids)]) {
    await waitUntil(
      async () => {
        const { body } = await api.call<{ data: { status: string }[] }>('GET', `/v1/connections/${id}/messages`);
        expect(body.data.map(({ status }) => status)).toEqual(Array.from({ length: rounds }, () => 'sent'));
      },
      { what: `all messages of ${id} to be sent` },
    );
  }
}
