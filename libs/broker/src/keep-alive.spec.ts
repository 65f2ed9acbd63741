import { generate, parser, type Packet } from 'mqtt-packet';
import { FakeBroker } from '../../../test/support/intake.js';
import { eventually, freeze, gate, quiet, startMosquitto, type ServerProcess } from '../../../test/support/servers.js';
import { IntakeConnection } from './intake-connection.js';
import { openMqtt } from './mqtt-connection.js';
import { Publisher } from './publisher.js';

const SOON = { keepAliveSeconds: 1 };

describe('openMqtt', () => {
  it('asks for a keep-alive of 10 seconds', async () => {
    const packets = parser({ protocolVersion: 5 });
    const received: Packet[] = [];
    packets.on('packet', (packet: Packet) => received.push(packet));
    const fake = await FakeBroker.start((_socket, _first, bytes) => packets.parse(bytes));
    const client = openMqtt({ url: fake.url }, { clientId: 'keep-alive', reconnectPeriod: 0 });
    await eventually('the CONNECT comes', () =>
      expect(received).toEqual([expect.objectContaining({ cmd: 'connect', keepalive: 10 })]),
    );
    await client.endAsync(true);
    await fake.stop();
  });
});

describe('a connection to a broker that is frozen', () => {
  let broker: ServerProcess;

  beforeEach(async () => {
    broker = await startMosquitto();
  });
  afterEach(() => broker.stop());

  it('is closed by the publisher, which is connected again when the broker goes on', async () => {
    const publisher = new Publisher({ url: broker.url, ...SOON }, 'frozen-publisher', quiet);
    await eventually('the publisher is connected', () => expect(publisher.connected).toBe(true));
    const frozen = freeze(broker);
    await eventually('the publisher is not connected', () => expect(publisher.connected).toBe(false));
    frozen.resume();
    await eventually('the publisher is connected again', () => expect(publisher.connected).toBe(true));
    await publisher.close();
  });

  it('is closed by a lane', async () => {
    const options = { url: broker.url, clientId: 'frozen-lane', filters: ['$share/group/in'], window: 10, ...SOON };
    const connection = new IntakeConnection(options, () => Promise.resolve(), quiet);
    await connection.ready();
    const frozen = freeze(broker);
    expect(await connection.ended).toBe('lost');
    frozen.resume();
  });
});

describe('IntakeConnection, while its window is full', () => {
  it('sends pings and stays open although no reply to them can be read, and ends if none comes when it reads again', async () => {
    const packets = parser({ protocolVersion: 5 });
    const fake = await FakeBroker.start((_socket, _first, bytes) => packets.parse(bytes));
    const reply = (packet: Packet): void => void fake.sockets.at(-1)?.write(generate(packet, { protocolVersion: 5 }));
    const publish = (messageId: number): void =>
      reply({ cmd: 'publish', topic: 'in', payload: 'x', qos: 1, dup: false, retain: false, messageId });
    let requests = 0;
    packets.on('packet', ({ cmd, messageId }: Packet) => {
      if (cmd === 'connect') reply({ cmd: 'connack', sessionPresent: false, reasonCode: 0 });
      if (cmd === 'subscribe') reply({ cmd: 'suback', messageId: messageId ?? 0, granted: [1] });
      if (cmd === 'pingreq') requests++;
    });
    const mayStore = gate();
    const connection = new IntakeConnection(
      { url: fake.url, clientId: 'slow-lane', filters: ['in'], window: 1, ...SOON },
      () => mayStore.passed,
      quiet,
    );
    let isEnded = false;
    void connection.ended.then(() => (isEnded = true));
    await connection.ready();
    publish(1);
    await eventually('the window is full', () => expect(connection.unacknowledged).toBe(1));
    await eventually('three pings are sent', () => expect(requests).toBeGreaterThan(2));
    expect(isEnded).toBe(false);
    mayStore.open();
    expect(await connection.ended).toBe('lost');
    await fake.stop();
  });
});
