/**
 * What `IntakeConnection` needs from MQTT.js and its documentation does not promise. If one of these tests fails, MQTT.js
 * has changed: look at its handlers/publish and at the header of intake-connection.ts first.
 */
import { connectAsync, type IPublishPacket, type MqttClient, type Packet } from 'mqtt';
import { generate } from 'mqtt-packet';
import { withIntake, type Intake } from '../../../test/support/intake.js';
import { eventually, gate } from '../../../test/support/servers.js';
import { pubacks } from './intake-connection.js';

let intake: Intake;
let client: MqttClient;
let sent: Packet[];

withIntake((begun) => (intake = begun));

beforeEach(async () => {
  const { broker, clientId, topic } = intake;
  client = await connectAsync(broker.url, { protocolVersion: 5, clientId, clean: true, reconnectPeriod: 0 });
  sent = [];
  client.on('packetsend', (packet) => sent.push(packet));
  await client.subscribeAsync(topic, { qos: 1 });
});

afterEach(() => client.endAsync(true));

function acknowledged(): (number | undefined)[] {
  return sent.filter(({ cmd }) => cmd === 'puback').map(({ messageId }) => messageId);
}

describe('MQTT.js', () => {
  it('sends no PUBACK if handleMessage calls back with an error, continues to read, and reports no error', async () => {
    const seen: IPublishPacket[] = [];
    const errors: Error[] = [];
    client.on('error', (error) => errors.push(error));
    client.handleMessage = (packet, callback) => {
      seen.push(packet);
      callback(new Error('acknowledged later'));
    };
    await intake.publish('a', 'b', 'c');
    await eventually('all three packets are received', () => expect(seen).toHaveLength(3));
    expect(acknowledged()).toEqual([]);
    expect(errors).toEqual([]);
    expect(client.connected).toBe(true);
  });

  it('sends the PUBACK itself if handleMessage calls back without an error', async () => {
    client.handleMessage = (_packet, callback) => callback();
    await intake.publish('a');
    await eventually('the packet is acknowledged', () => expect(acknowledged()).toHaveLength(1));
  });

  it('reads no further packet until handleMessage calls back', async () => {
    const { broker, publisher, topic } = intake;
    const seen: IPublishPacket[] = [];
    const callbacks: (() => void)[] = [];
    client.handleMessage = (packet, callback) => {
      seen.push(packet);
      callbacks.push(() => callback(new Error('acknowledged later')));
    };
    await intake.publish('a', 'b');
    await eventually('the first packet is received', () => expect(seen).toHaveLength(1));
    const watched = gate();
    const watcher = await connectAsync(broker.url, { protocolVersion: 5 });
    watcher.on('message', () => watched.open());
    await watcher.subscribeAsync(`${topic}/marker`);
    await publisher.publishAsync(`${topic}/marker`, 'x', { qos: 1 });
    await watched.passed;
    expect(seen).toHaveLength(1);
    callbacks[0]?.();
    await eventually('the second packet is received', () => expect(seen).toHaveLength(2));
    await watcher.endAsync();
  });

  it('writes whole packets to its stream, so that PUBACKs may be written between them, and writes them in the same way', async () => {
    const ids: number[] = [];
    client.handleMessage = (packet, callback) => {
      if (packet.messageId !== undefined) ids.push(packet.messageId);
      callback(new Error('acknowledged later'));
    };
    await intake.publish('a', 'b');
    await eventually('both packets are received', () => expect(ids).toHaveLength(2));
    const publishing = client.publishAsync(`${intake.topic}/elsewhere`, 'x'.repeat(100_000), { qos: 1 });
    client.stream.write(pubacks(ids.map((packetId) => ({ packetId }))));
    await publishing;
    await intake.publish('c');
    await eventually('the third packet is received', () => expect(ids).toHaveLength(3));
    // The broker would have closed the connection after a PUBACK that it does not accept.
    expect(client.connected).toBe(true);
    const written = ids.map((messageId) =>
      generate({ cmd: 'puback', messageId, reasonCode: 0 }, { protocolVersion: 5 }),
    );
    expect(pubacks(ids.map((packetId) => ({ packetId })))).toEqual(Buffer.concat(written));
  });
});
