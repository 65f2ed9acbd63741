/** The example device at a real broker. The spec acts as the service. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { Device, rememberUntil, waitOf } from '../../examples/device/device.mjs';
import { ContraryBroker } from '../support/contrary-broker.js';
import { envelope } from '../support/mqtt-client.js';
import { eventually, startMosquitto, type Server } from '../support/servers.js';

const FIRST_PAUSE_MS = 20;

interface Published {
  type: string;
  message_id: string;
  in_response_to?: string;
  payload?: { details?: string };
}

let mosquitto: Server;
let broker: ContraryBroker;
let service: MqttClient;
/** What the device published; `removed` for the empty message. */
let published: (Published | 'removed')[];
let performed: unknown[];
/** What ends the work on each payload `slow`. */
let slow: (() => void)[];
let logged: string[];
let device: Device;
let ids = 0;

beforeAll(async () => {
  mosquitto = await startMosquitto();
  broker = await ContraryBroker.before(mosquitto.port);
  service = await connectAsync(mosquitto.url, { protocolVersion: 5 });
  service.on('message', (_topic, data) => {
    published.push(data.length === 0 ? 'removed' : (JSON.parse(data.toString()) as Published));
  });
});
afterAll(async () => {
  await service.endAsync();
  await broker.stop();
  await mosquitto.stop();
});

beforeEach(async () => {
  published = [];
  performed = [];
  slow = [];
  logged = [];
  broker.accept();
  const id = `device-${ids++}`;
  await service.subscribeAsync(`redhat/insights/in/${id}`, { qos: 1 });
  device = new Device({
    id,
    url: broker.url,
    firstPauseMs: FIRST_PAUSE_MS,
    log: (line: string) => void logged.push(line),
    onMessage: (message: { payload?: unknown }, progress: (progress: { percent: number }) => void) => {
      const { payload } = message;
      performed.push(payload);
      if (payload === 'impossible') throw new Error('cannot be done');
      if (payload === 'slow') return new Promise<void>((resolve) => void slow.push(resolve));
      if (typeof payload === 'object') progress({ percent: 50 });
      return payload;
    },
  });
});
afterEach(async () => {
  await device.stop();
  await service.unsubscribeAsync(device.inTopic);
});

function finishSlow(): void {
  for (const finish of slow.splice(0)) finish();
}

async function send(text: string): Promise<void> {
  await service.publishAsync(device.outTopic, text, { qos: 1 });
}

function handshakes(): string[] {
  return published.flatMap((one) => (one !== 'removed' && one.type === 'host-handshake' ? [one.message_id] : []));
}

function kinds(): string[] {
  return published.map((one) => (one === 'removed' ? one : one.type));
}

async function untilHandshakes(count: number): Promise<void> {
  await eventually(`the device has sent ${count} handshakes`, () => expect(handshakes()).toHaveLength(count));
}

function message(id: string, payload: unknown): string {
  return envelope('message', { message_id: id, directive: 'spec:do', payload });
}

it('the device says goodbye on a force-disconnect, waits as long as it says, and shakes hands again', async () => {
  await untilHandshakes(1);
  await send(envelope('force-disconnect', { payload: { reconnect_after: 'PT0.3S' } }));
  await untilHandshakes(2);
  expect(kinds()).toEqual(['host-handshake', 'offline', 'removed', 'host-handshake']);
  const lines = ['connected', expect.stringContaining('PT0.3S'), 'disconnected', 'connected'];
  // The device may log `connected` after the service has received the handshake.
  await eventually('the device has logged that it is connected again', () => expect(logged).toEqual(lines));
});

it('the device stays disconnected if it is stopped while it waits', async () => {
  await untilHandshakes(1);
  await send(envelope('force-disconnect', { payload: { reconnect_after: 'never' } }));
  await eventually('the device has disconnected', () => expect(logged).toContain('disconnected'));
  await device.stop();
  expect(handshakes()).toHaveLength(1);
});

it('the device shakes hands again with a new id if its handshake is refused', async () => {
  await untilHandshakes(1);
  const [first] = handshakes();
  await send(envelope('handshake-error', { in_response_to: first, payload: { details: 'no' } }));
  await untilHandshakes(2);
  expect(new Set(handshakes()).size).toBe(2);
  expect(kinds()).toEqual(['host-handshake', 'offline', 'removed', 'host-handshake']);
  // A late refusal of the first one changes nothing.
  await send(envelope('handshake-error', { in_response_to: first, payload: { details: 'no' } }));
  await send(message('m-1', 'after'));
  await eventually('the device has performed the message', () => expect(performed).toEqual(['after']));
  expect(handshakes()).toHaveLength(2);
});

it('the device ignores messages that do not follow the protocol', async () => {
  await untilHandshakes(1);
  for (const text of ['', '{', 'null', '7', '[]', '{}', '{"type":"message-to-come","message_id":"x"}'])
    await send(text);
  await send(message('m-1', 'after'));
  await eventually('the device has performed the message', () => expect(performed).toEqual(['after']));
});

it('the device performs a repeated message once, and sends the same answer each time', async () => {
  await untilHandshakes(1);
  for (let i = 0; i < 3; i++) await send(message('m-1', 'impossible'));
  await eventually('the device has sent three answers', () => expect(published).toHaveLength(4));
  const answers = published.slice(1);
  expect(answers[0]).toMatchObject({
    type: 'message-error',
    in_response_to: 'm-1',
    payload: { details: 'cannot be done' },
  });
  expect(answers).toEqual([answers[0], answers[0], answers[0]]);
  expect(performed).toEqual(['impossible']);
});

it('the device waits for the time that a handshake-error names', async () => {
  await untilHandshakes(1);
  const [first] = handshakes();
  const payload = { details: 'no', reason: 'refused-until', retry_after: 'never' };
  await send(envelope('handshake-error', { in_response_to: first, payload }));
  await eventually('the device has disconnected', () => expect(logged).toContain('disconnected'));
  await device.stop();
  expect(handshakes()).toHaveLength(1);
});

it('the device sends the same answer after a restart, and does not do the message again', async () => {
  await untilHandshakes(1);
  await device.stop();
  const dir = mkdtempSync(join(tmpdir(), 'device-'));
  const done: unknown[] = [];
  const start = () =>
    new Device({
      id: device.id,
      url: broker.url,
      firstPauseMs: FIRST_PAUSE_MS,
      answersFile: join(dir, 'answers.json'),
      onMessage: ({ payload }: { payload?: unknown }) => done.push(payload),
    });
  const expires = new Date(Date.now() + 60_000).toISOString();
  const request = envelope('message', { message_id: 'm-1', directive: 'spec:do', payload: 1, expires });
  try {
    for (const count of [2, 3]) {
      device = start();
      await untilHandshakes(count);
      await send(request);
      await eventually('the device has answered', () =>
        expect(kinds().filter((kind) => kind === 'message-response')).toHaveLength(count - 1),
      );
      await device.stop();
    }
    const answers = published.filter((one) => one !== 'removed' && one.type === 'message-response');
    expect(answers[0]).toEqual(answers[1]);
    expect(done).toEqual([1]);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

it.each([
  ['until it expires, and 10 minutes more', { expires: '2001-01-01T01:00:00Z' }, 3_600_000 + 600_000],
  ['for 10 minutes if it has expired', { expires: '2000-01-01T00:00:00Z' }, 600_000],
  ['for as long as one may live if it does not say when it expires', {}, 30 * 86_400_000 + 600_000],
])('the device remembers a message %s', (_, times, ms) => {
  const before = Date.now();
  const until = rememberUntil({ sent: '2001-01-01T00:00:00Z', ...times });
  expect(until).toBeGreaterThanOrEqual(before + ms);
  expect(until).toBeLessThanOrEqual(Date.now() + ms);
});

it('the device answers with what its work returns, and says how far it has come', async () => {
  await untilHandshakes(1);
  await send(message('m-1', { steps: 2 }));
  await eventually('the device has answered', () => expect(published).toHaveLength(3));
  expect(published.slice(1)).toMatchObject([
    { type: 'message-progress', in_response_to: 'm-1', payload: { percent: 50 } },
    { type: 'message-response', in_response_to: 'm-1', payload: { steps: 2 } },
  ]);
});

it('the device answers after a force-disconnect what it was doing before', async () => {
  await untilHandshakes(1);
  await send(message('m-1', 'slow'));
  await eventually('the device is at work', () => expect(performed).toEqual(['slow']));
  await send(envelope('force-disconnect', { payload: { reconnect_after: 'PT0.1S' } }));
  await eventually('the device has disconnected', () => expect(logged).toContain('disconnected'));
  finishSlow();
  await untilHandshakes(2);
  await eventually('the device has answered', () => expect(kinds()).toContain('message-response'));
  expect(performed).toEqual(['slow']);
});

it('the device refuses messages while 1,000 are at work', async () => {
  await untilHandshakes(1);
  const sent = Array.from({ length: 1001 }, (_, i) => send(message(`m-${i}`, 'slow')));
  await Promise.all(sent);
  await eventually('the device has answered', () => expect(published).toHaveLength(2));
  expect(published[1]).toMatchObject({ type: 'message-error', payload: { details: 'too many messages are at work' } });
  expect(performed).toHaveLength(1000);
  finishSlow();
});

it('the device connects again after its connection has broken and the broker has refused it', async () => {
  await untilHandshakes(1);
  broker.refuse();
  const before = broker.refused;
  device.client.stream.destroy();
  await eventually('the broker has refused the device twice', () => expect(broker.refused).toBeGreaterThan(before + 1));
  broker.accept();
  await untilHandshakes(2);
});

it('the device stops while the broker is away, even if a publish waits for its PUBACK', async () => {
  await untilHandshakes(1);
  broker.refuse();
  // This publish fails when the client ends; nothing waits for it.
  device.client.publish(device.inTopic, '{}', { qos: 1 }, () => undefined);
  device.client.stream.destroy();
  await eventually('the device is not connected', () => expect(device.client.connected).toBe(false));
  await device.stop();
});

it.each([
  ['PT30S', 30_000],
  ['PT0.5S', 500],
  ['P1DT12H', 36 * 3_600_000],
  ['P2W', 14 * 86_400_000],
  ['never', 3_600_000],
  ['2001-01-01T00:00:00Z', 0],
  ['soon', 0],
  [undefined, 0],
])('the device reads reconnect_after %s as a wait of %i ms', (text, ms) => {
  expect(waitOf(text)).toBe(ms);
});

it('the device reads a time as the wait until then', () => {
  const wait = waitOf(new Date(Date.now() + 60_000).toISOString());
  expect(wait).toBeGreaterThan(0);
  expect(wait).toBeLessThanOrEqual(60_000);
});
