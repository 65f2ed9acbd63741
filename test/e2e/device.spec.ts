/** The example device, at a real broker. The spec plays the service. */
import { connectAsync, type MqttClient } from 'mqtt';
import { Device, waitOf } from '../../examples/device/device.mjs';
import { ContraryBroker } from '../support/contrary-broker.js';
import { envelope } from '../support/mqtt-client.js';
import { eventually, startMosquitto, type Server } from '../support/servers.js';

const FIRST_PAUSE_MS = 20;

interface Said {
  type: string;
  message_id: string;
  in_response_to?: string;
  payload?: { details?: string };
}

let mosquitto: Server;
let broker: ContraryBroker;
let service: MqttClient;
/** What the device published; `removed` for the empty message. */
let said: (Said | 'removed')[];
let performed: unknown[];
let logged: string[];
let device: Device;
let ids = 0;

beforeAll(async () => {
  mosquitto = await startMosquitto();
  broker = await ContraryBroker.before(mosquitto.port);
  service = await connectAsync(mosquitto.url, { protocolVersion: 5 });
  service.on('message', (_topic, data) => {
    said.push(data.length === 0 ? 'removed' : (JSON.parse(data.toString()) as Said));
  });
});
afterAll(async () => {
  await service.endAsync();
  await broker.stop();
  await mosquitto.stop();
});

beforeEach(async () => {
  said = [];
  performed = [];
  logged = [];
  broker.accept();
  const id = `device-${ids++}`;
  await service.subscribeAsync(`redhat/insights/in/${id}`, { qos: 1 });
  device = new Device({
    id,
    url: broker.url,
    firstPauseMs: FIRST_PAUSE_MS,
    log: (line: string) => void logged.push(line),
    onMessage: (message: { payload?: unknown }) => {
      performed.push(message.payload);
      if (message.payload === 'impossible') throw new Error('cannot be done');
    },
  });
});
afterEach(async () => {
  await device.stop();
  await service.unsubscribeAsync(device.inTopic);
});

async function tell(text: string): Promise<void> {
  await service.publishAsync(device.outTopic, text, { qos: 1 });
}

function handshakes(): string[] {
  return said.flatMap((one) => (one !== 'removed' && one.type === 'host-handshake' ? [one.message_id] : []));
}

function kinds(): string[] {
  return said.map((one) => (one === 'removed' ? one : one.type));
}

async function untilHandshakes(count: number): Promise<void> {
  await eventually(() => expect(handshakes()).toHaveLength(count), `${count} handshakes`);
}

function message(id: string, payload: unknown): string {
  return envelope('message', { message_id: id, directive: 'spec:do', payload });
}

it('says goodbye when it is sent away, stays away for so long, and shakes hands again', async () => {
  await untilHandshakes(1);
  await tell(envelope('force-disconnect', { payload: { reconnect_after: 'PT0.3S' } }));
  await untilHandshakes(2);
  expect(kinds()).toEqual(['host-handshake', 'offline', 'removed', 'host-handshake']);
  const lines = ['connected', expect.stringContaining('PT0.3S'), 'disconnected', 'connected'];
  // The last PUBACK may come after the service has the handshake.
  await eventually(() => expect(logged).toEqual(lines));
});

it('stays away if it is stopped while it waits', async () => {
  await untilHandshakes(1);
  await tell(envelope('force-disconnect', { payload: { reconnect_after: 'never' } }));
  await eventually(() => expect(logged).toContain('disconnected'));
  await device.stop();
  expect(handshakes()).toHaveLength(1);
});

it('shakes hands again with a new id after its handshake was refused', async () => {
  await untilHandshakes(1);
  const [first] = handshakes();
  await tell(envelope('handshake-error', { in_response_to: first, payload: { details: 'no' } }));
  await untilHandshakes(2);
  expect(new Set(handshakes()).size).toBe(2);
  expect(kinds()).toEqual(['host-handshake', 'offline', 'removed', 'host-handshake']);
  // A late refusal of the first one changes nothing.
  await tell(envelope('handshake-error', { in_response_to: first, payload: { details: 'no' } }));
  await tell(message('m-1', 'after'));
  await eventually(() => expect(performed).toEqual(['after']));
  expect(handshakes()).toHaveLength(2);
});

it('ignores what is not of the protocol', async () => {
  await untilHandshakes(1);
  for (const text of ['', '{', 'null', '7', '[]', '{}', '{"type":"message-to-come","message_id":"x"}'])
    await tell(text);
  await tell(message('m-1', 'after'));
  await eventually(() => expect(performed).toEqual(['after']));
});

it('does a message once, and gives the same answer each time it comes', async () => {
  await untilHandshakes(1);
  for (let i = 0; i < 3; i++) await tell(message('m-1', 'impossible'));
  await eventually(() => expect(said).toHaveLength(4), 'three answers');
  const answers = said.slice(1);
  expect(answers[0]).toMatchObject({
    type: 'message-error',
    in_response_to: 'm-1',
    payload: { details: 'cannot be done' },
  });
  expect(answers).toEqual([answers[0], answers[0], answers[0]]);
  expect(performed).toEqual(['impossible']);
});

it('tries again after the broker has refused it, and when its connection was cut', async () => {
  await untilHandshakes(1);
  broker.refuse();
  const before = broker.refused;
  device.client.stream.destroy();
  await eventually(() => expect(broker.refused).toBeGreaterThan(before + 1), 'refusals');
  broker.accept();
  await untilHandshakes(2);
});

it('can be stopped while the broker is away, whatever still waits for its PUBACK', async () => {
  await untilHandshakes(1);
  broker.refuse();
  // Given up when the client is ended: nobody waits for it.
  device.client.publish(device.inTopic, '{}', { qos: 1 }, () => undefined);
  device.client.stream.destroy();
  await eventually(() => expect(device.client.connected).toBe(false));
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
])('reads %s as a wait of %i ms', (text, ms) => {
  expect(waitOf(text)).toBe(ms);
});

it('reads a time as the wait until then', () => {
  const wait = waitOf(new Date(Date.now() + 60_000).toISOString());
  expect(wait).toBeGreaterThan(0);
  expect(wait).toBeLessThanOrEqual(60_000);
});
