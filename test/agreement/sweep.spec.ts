/** Sweeps with real processes: they find what no live message reported, and follow only what the broker retains. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { connectAsync, type MqttClient } from 'mqtt';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { KeySpaceEvent } from '@app/registry';
import type { SweepBody } from '../../apps/api-gateway/src/cluster/sweep.dto.js';
import type { DeadLetterPageBody } from '../../apps/api-gateway/src/cluster/dead-letter.dto.js';
import { Api } from '../support/api.js';
import { CONTRARY_CONFIG, Detour } from '../support/contrary/detour.js';
import { envelope, handshakeOf } from '../support/mqtt-client.js';
import { differences } from './retained-store.js';

/** Many more than the queue of the broker, which is small on purpose. */
const CLIENTS = 3000;
const QUEUE = 50;

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-sweep-'));
const ids = Array.from({ length: CLIENTS }, (_, i) => `swept-${i}`);
let redis: Awaited<ReturnType<typeof startRedis>>;
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;
let detour: Detour;
let env: Record<string, string>;
let ingester: Awaited<ReturnType<typeof startApp>>;
let api: Api;
let broker: MqttClient;
let store: Redis;
/** The replies to a client by message id: a reply that is published again has the same id. */
const replies = new Map<string, unknown>();

beforeAll(async () => {
  [redis, mosquitto] = await Promise.all([startRedis({ dir }), startBroker()]);
  detour = await Detour.before(mosquitto);
  env = { REDIS_URL: redis.url, MQTT_URL: detour.appUrl, LOG_LEVEL: 'warn' };
  api = new Api((await startApp('api-gateway', { dir, env })).url);
  broker = await connectAsync(detour.deviceUrl, { protocolVersion: 5 });
  store = new Redis(redis.url);
});

afterAll(async () => {
  store.disconnect();
  await broker.endAsync(true);
  await stopAll();
  await detour.stop();
  rmSync(dir, { recursive: true });
});

function startBroker(port?: number): ReturnType<typeof startMosquitto> {
  const config = [...CONTRARY_CONFIG, `max_queued_messages ${QUEUE}`, 'max_inflight_messages 20', 'sys_interval 1'];
  return startMosquitto({ dir, config, ...(port !== undefined && { port }) });
}

async function retain(id: string, text: string): Promise<void> {
  await broker.publishAsync(`redhat/insights/in/${id}`, text, { qos: 1, retain: true });
}

async function retainAll(): Promise<void> {
  for (let i = 0; i < CLIENTS; i += 200) {
    await Promise.all(ids.slice(i, i + 200).map((id) => retain(id, handshakeOf(id))));
  }
}

/** Waits until the latest sweep has ended and fits. */
function untilSwept(fits: (sweep: SweepBody) => boolean): Promise<SweepBody> {
  return waitUntil(
    async () => {
      const { status, body } = await api.call<SweepBody>('GET', '/v1/cluster/sweeps/latest');
      if (status !== 200 || body.state !== 'ended' || !fits(body)) throw new Error(JSON.stringify(body));
      return body;
    },
    { what: 'the sweep to end' },
  );
}

/** The events of all sweeps that have ended. */
async function endedSweeps(): Promise<Extract<KeySpaceEvent, { type: 'sweep.ended' }>[]> {
  const entries = await store.xrange('cc:{s0}:events', '-', '+');
  const events = entries.map(([, fields]) => JSON.parse(fields[fields.indexOf('event') + 1] ?? '') as KeySpaceEvent);
  return events.filter((event) => event.type === 'sweep.ended');
}

async function sweepNow(): Promise<SweepBody> {
  const before = await api.call<SweepBody>('GET', '/v1/cluster/sweeps/latest');
  expect((await api.call('POST', '/v1/cluster/sweeps')).status).toBe(202);
  return untilSwept(({ sweep_id }) => sweep_id !== before.body.sweep_id);
}

async function untilEqual(): Promise<void> {
  await waitUntil(
    async () => {
      const found = await differences(mosquitto.url, api.url, ids);
      if (found.length > 0) throw new Error(found.slice(0, 5).join('\n'));
    },
    { what: 'registry and broker to be equal', everyMs: 250 },
  );
}

async function deadLetters(): Promise<DeadLetterPageBody['data']> {
  return (await api.call<DeadLetterPageBody>('GET', '/v1/cluster/dead-letters?limit=200')).body.data;
}

describe('a sweep', () => {
  it('builds the registry from the retained messages; until then, sends are answered with 503', async () => {
    await broker.subscribeAsync('redhat/insights/out/refused-new', { qos: 1 });
    broker.on('message', (_topic, data) => {
      const reply = JSON.parse(data.toString()) as { message_id: string };
      replies.set(reply.message_id, reply);
    });
    await Promise.all([
      retainAll(),
      retain('refused-new', envelope('host-handshake', { message_id: 'bad', payload: {} })),
      retain('foreign', '{"hello":"world","type":"x"}'),
    ]);
    const early = await api.send('swept-0', { directive: 'x' });
    expect(early.status).toBe(503);
    expect(early.headers.get('retry-after')).toBe('5');
    expect((await api.call('GET', '/v1/cluster/sweeps/latest')).status).toBe(404);
    ingester = await startApp('status-ingester', { dir, name: 'ingester-a', env });
    await untilEqual();
    await untilSwept(() => true);
    expect((await api.send('swept-0', { directive: 'x' })).status).toBe(202);
    expect((await api.send('never-seen', { directive: 'x' })).status).toBe(404);
  });

  it('replies to an invalid retained message once and makes one dead letter of it, however often it is found', async () => {
    await sweepNow();
    await sweepNow();
    const letters = (await deadLetters()).map(({ client_id, reason }) => `${client_id}: ${reason}`);
    expect(letters.toSorted()).toEqual(['foreign: unknown-type', 'refused-new: wrong-shape']);
    expect([...replies.values()]).toMatchObject([{ type: 'handshake-error', in_response_to: 'bad' }]);
  });

  it('makes dead letters, which are listed page by page with the newest first', async () => {
    const all = await deadLetters();
    expect(all.length).toBeGreaterThan(1);
    const pages: DeadLetterPageBody['data'] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`;
      const page = await api.call<DeadLetterPageBody>('GET', `/v1/cluster/dead-letters?limit=1${query}`);
      pages.push(...page.body.data);
      cursor = page.body.next_cursor;
    }
    expect(pages).toEqual(all);
    expect((await api.call('GET', '/v1/cluster/dead-letters?cursor=x')).status).toBe(422);
  });

  it('takes clients offline after the broker has lost its retained messages, and keeps those online that return', async () => {
    const { port } = mosquitto;
    await broker.endAsync(true);
    await mosquitto.kill();
    mosquitto = await startBroker(port);
    broker = await connectAsync(detour.deviceUrl, { protocolVersion: 5 });
    // A third of the clients return; some before the sweep, some after it.
    await Promise.all(ids.slice(0, 1000).map((id) => retain(id, handshakeOf(id))));
    await untilEqual();
    const { body } = await api.call<{ offline: { total: number } }>('GET', '/v1/connections/summary');
    expect(body.offline.total).toBeGreaterThanOrEqual(CLIENTS - 1000);
  });

  it('rebuilds the registry if Redis has lost it, and schedules the next sweep', async () => {
    await store.flushall();
    await redis.kill();
    redis = await startRedis({ dir, port: redis.port });
    await untilEqual();
    await untilSwept(() => true);
    await waitUntil(
      async () => {
        if ((await store.zcard('cc:{queue}:maintenance:repeat')) !== 1) throw new Error('not scheduled');
      },
      { what: 'the next sweep to be scheduled' },
    );
  });

  it('is run again by another ingester if its own one is killed', async () => {
    await api.call('POST', '/v1/cluster/sweeps');
    await waitUntil(
      async () => {
        if ((await store.llen('cc:{queue}:maintenance:active')) === 0) throw new Error('no sweep is running');
      },
      { what: 'a sweep to run', everyMs: 1 },
    );
    const known = (await endedSweeps()).map(({ sweep }) => sweep);
    await ingester.kill();
    ingester = await startApp('status-ingester', { dir, name: 'ingester-b', env });
    // The new ingester requests a sweep too, so the latest sweep may be another one.
    const ended = await waitUntil(
      async () => {
        const found = (await endedSweeps()).find(
          ({ sweep, trigger }) => trigger === 'request' && !known.includes(sweep),
        );
        if (found === undefined) throw new Error('only other sweeps have ended');
        return found;
      },
      { what: 'the repeated sweep to end' },
    );
    expect(ended).toMatchObject({ complete: true });
  });
});
