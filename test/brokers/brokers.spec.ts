/**
 * The whole product on each broker: devices on two lanes, verifications, kills while messages are under way, devices that
 * vanish, a restart of the broker, and a sweep of many retained handshakes. After each step the registry equals what the
 * broker retains, and no device was offline whose connection had not ended. `BROKERS` names the brokers to run on,
 * `BROKER_RETAINED` how many handshakes the sweep reads.
 */
import { connectAsync } from 'mqtt';
import { waitUntil } from '../../scripts/stack.mjs';
import { differencesFrom } from '../agreement/retained-store.js';
import type { MessageView } from '../support/api.js';
import { envelope, handshakeOf } from '../support/mqtt-client.js';
import { BROKERS } from './brokers.mjs';
import { Device } from './device.js';
import { EventWatch } from './event-watch.js';
import { Figures } from './figures.js';
import { readRetainedOf, retainAll } from './retained.js';
import { LANES, System } from './system.js';

const DEVICES = 200;
const MESSAGES_A_DEVICE = 10;
const MESSAGES = DEVICES * MESSAGES_A_DEVICE;
const VANISHING = 20;
const RETAINED = Number(process.env['BROKER_RETAINED'] ?? 20_000);
const UNSUBSCRIBED = 'unsubscribed';
const WAIT_MS = 60_000;
const STEP_MS = 150_000;

interface Run {
  name: string;
  kind: keyof typeof BROKERS;
  /** Whether sessions and retained messages survive a restart. */
  persist: boolean;
  /** The status of a message to a device that is online and has not subscribed. */
  withoutSubscriber: 'held' | 'sent';
}

const RUNS: readonly Run[] = [
  { name: 'Mosquitto', kind: 'mosquitto', persist: true, withoutSubscriber: 'held' },
  { name: 'HiveMQ CE', kind: 'hivemq', persist: false, withoutSubscriber: 'held' },
  { name: 'mochi', kind: 'mochi', persist: false, withoutSubscriber: 'sent' },
];

const wanted = process.env['BROKERS']?.split(',') ?? Object.keys(BROKERS);
const runs = RUNS.filter(({ kind }) => wanted.includes(kind));

describe.each(runs)('the product on $name', ({ name, kind, persist, withoutSubscriber }) => {
  const figures = new Figures(name);
  const sweptIds = Array.from({ length: RETAINED }, (_, i) => `swept-${i}`);
  let system: System;
  let events: EventWatch;
  let devices: Device[];
  /** All clients that the broker may retain a handshake of. */
  let ids: string[];

  beforeAll(async () => {
    system = await System.start(BROKERS[kind], persist);
    await system.untilReady();
    events = await EventWatch.open(system.api.url);
    devices = Array.from(
      { length: DEVICES },
      (_, i) => new Device(`device-${i}`, system.brokerUrl, i % 2 === 0 ? 4 : 5),
    );
    ids = devices.map(({ id }) => id);
  }, STEP_MS);

  afterEach(() => {
    expect(events.faults()).toEqual([]);
  });

  afterAll(async () => {
    figures.note('events', events.types());
    figures.print();
    for (const device of devices) device.end();
    events.close();
    await system.stop();
  }, STEP_MS);

  /** Waits until nothing differs. */
  async function untilEqual(): Promise<void> {
    await waitUntil(
      async () => {
        const retained = await readRetainedOf(system.brokerUrl, ids);
        const found = await differencesFrom(retained, system.api.url, ids, LANES);
        if (found.length > 0) throw new Error(`${found.length} differ:\n${found.slice(0, 5).join('\n')}`);
      },
      { what: `the registry to equal what ${name} retains`, timeoutMs: WAIT_MS, everyMs: 250 },
    );
  }

  async function untilAllBack(): Promise<void> {
    await waitUntil(
      () => {
        const away = devices.filter(({ connected }) => !connected);
        if (away.length > 0) throw new Error(`${away.length} devices are not connected`);
      },
      { what: 'all devices to reconnect', timeoutMs: WAIT_MS, everyMs: 100 },
    );
  }

  /** Verifies each device. @returns how many answers were 503, after which the request was repeated */
  async function verifyAll(): Promise<number> {
    let repeats = 0;
    await Promise.all(
      devices.map(({ id }) =>
        waitUntil(
          async () => {
            const { status, body } = await system.api.call<{ state: string }>('POST', `/v1/connections/${id}/verify`);
            if (status !== 200) {
              repeats++;
              throw new Error(`${status} ${JSON.stringify(body)}`);
            }
            expect(body.state).toBe('online');
          },
          { what: `the verification of ${id}`, timeoutMs: WAIT_MS },
        ),
      ),
    );
    return repeats;
  }

  /** Sends one message after the other to a device. @returns their ids */
  async function sendAll(id: string): Promise<string[]> {
    const sent: string[] = [];
    for (let i = 0; i < MESSAGES_A_DEVICE; i++) {
      const { status, body } = await system.api.send(id, { directive: 'try', payload: { i } });
      expect(status).toBe(202);
      sent.push(body.message_id);
    }
    return sent;
  }

  async function untilReceived(count: number): Promise<void> {
    await waitUntil(
      () => {
        const received = devices.reduce((sum, { distinct }) => sum + distinct.length, 0);
        if (received < count) throw new Error(`${received} of ${count} messages have arrived`);
      },
      { what: `${count} messages to arrive`, timeoutMs: WAIT_MS },
    );
  }

  it(
    'brings all devices online',
    () =>
      figures.time('all devices online', async () => {
        await Promise.all(devices.map((device) => device.connect()));
        await untilEqual();
      }),
    STEP_MS,
  );

  it(
    'verifies each device and changes none',
    () =>
      figures.time('verifications', async () => {
        const before = events.count;
        figures.note('verifications repeated', await verifyAll());
        await untilEqual();
        // A sweep may begin or end in between, and shards may move.
        expect(events.ofConnections(before)).toEqual([]);
      }),
    STEP_MS,
  );

  it(
    'loses no message and keeps the order of each device, though a dispatcher and an ingester are killed',
    () =>
      figures.time('messages and kills', async () => {
        const sending = Promise.all(devices.map(async (device) => ({ device, sent: await sendAll(device.id) })));
        await untilReceived(MESSAGES * 0.1);
        await system.replace('dispatcher');
        await untilReceived(MESSAGES * 0.4);
        await system.replace('status-ingester');
        const all = await sending;
        await untilReceived(MESSAGES);
        for (const { device, sent } of all) expect(device.distinct).toEqual(sent);
        figures.note(
          'messages repeated',
          devices.reduce((sum, { received, distinct }) => sum + received.length - distinct.length, 0),
        );
        await system.untilReady();
        await untilEqual();
      }),
    STEP_MS,
  );

  it(
    `has a message as ${withoutSubscriber} if its device has not subscribed`,
    () =>
      figures.time('message without subscriber', async () => {
        ids.push(UNSUBSCRIBED);
        const mqtt = await connectAsync(system.brokerUrl, { clientId: UNSUBSCRIBED, reconnectPeriod: 0 });
        const topic = `redhat/insights/in/${UNSUBSCRIBED}`;
        const handshake = envelope('host-handshake', { payload: { canonical_facts: { fqdn: 'x' } } });
        await mqtt.publishAsync(topic, handshake, { qos: 1, retain: true });
        await system.api.untilConnection(UNSUBSCRIBED, ({ state }) => state === 'online');
        const { body } = await system.api.send(UNSUBSCRIBED, { directive: 'try' });
        const statuses: MessageView['status'][] = ['held', 'sent'];
        const { status } = await system.api.untilStatus(body.message_id, ...statuses);
        expect(status).toBe(withoutSubscriber);
        await events.during([UNSUBSCRIBED], async () => {
          await mqtt.publishAsync(topic, '', { qos: 1, retain: true });
          await mqtt.endAsync();
          await untilEqual();
        });
      }),
    STEP_MS,
  );

  it(
    'has devices online again that vanish and return',
    () =>
      figures.time('devices that vanish', async () => {
        const vanishing = devices.slice(0, VANISHING);
        await events.during(
          vanishing.map(({ id }) => id),
          async () => {
            for (const device of vanishing) device.vanish();
            await untilAllBack();
            await untilEqual();
            figures.note('verifications repeated after they returned', await verifyAll());
            await untilEqual();
          },
        );
      }),
    STEP_MS,
  );

  it(
    'has all devices online again after a restart of the broker',
    () =>
      figures.time('restart of the broker', () =>
        events.during(ids, async () => {
          await system.restartBroker();
          await untilAllBack();
          await system.untilReady();
          await untilEqual();
          figures.note('verifications repeated after the restart', await verifyAll());
          await untilEqual();
        }),
      ),
    STEP_MS,
  );

  it(
    `finds ${RETAINED} retained handshakes by a sweep, and takes nobody offline`,
    async () => {
      ids.push(...sweptIds);
      const before = events.count;
      // More than a broker with limits queues for a lane: the rest only a sweep can find. No ingester runs, since mochi locks
      // up if a lane acknowledges while others publish to it: its Inflight.NextImmediate takes a read lock twice.
      await system.withoutIngesters(() =>
        figures.time(`${RETAINED} handshakes retained`, () => retainAll(system.brokerUrl, sweptIds, handshakeOf)),
      );
      await figures.time('sweep, and until nothing differs', async () => {
        await system.untilReady();
        const { complete, read, differing, unseen } = await system.sweep();
        figures.note('sweep', { complete, read, differing, unseen });
        await untilEqual();
      });
      const { complete, read, differing, unseen } = await figures.time('second sweep', () => system.sweep());
      figures.note('second sweep', { complete, read, differing, unseen });
      await figures.time('verifications after the sweeps', async () => {
        figures.note('verifications repeated after the sweeps', await verifyAll());
      });
      await untilEqual();
      figures.note('sweeps since the handshakes were retained', events.sweeps(before));
      expect(events.types(before)['connection.offline']).toBeUndefined();
    },
    2 * STEP_MS,
  );
});
