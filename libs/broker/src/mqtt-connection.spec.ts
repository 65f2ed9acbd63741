import { ContraryBroker } from '../../../test/support/contrary-broker.js';
import { Proxy } from '../../../test/support/proxy.js';
import { eventually, quiet, startMosquitto, type Server } from '../../../test/support/servers.js';
import { BrokerWatch } from './broker-watch.js';
import { openMqtt } from './mqtt-connection.js';
import { Publisher } from './publisher.js';
import { RetainedReader } from './retained-reader.js';

let mosquitto: Server;
let broker: ContraryBroker;

beforeAll(async () => {
  mosquitto = await startMosquitto({ config: ['sys_interval 1'] });
});
afterAll(() => mosquitto.stop());

beforeEach(async () => {
  broker = await ContraryBroker.before(mosquitto.port);
  broker.refuse();
});
afterEach(() => broker.stop());

describe('a connection that the broker has refused', () => {
  it('is tried again, and stands when the broker takes it', async () => {
    const client = openMqtt({ url: broker.url }, { clientId: 'refused', reconnectPeriod: 20 });
    client.on('error', () => undefined);
    await eventually(() => expect(broker.refused).toBeGreaterThan(1));
    broker.accept();
    await eventually(() => expect(client.connected).toBe(true));
    await client.endAsync(true);
  });

  it('is tried again by the publisher', async () => {
    const publisher = new Publisher({ url: broker.url }, 'refused-publisher', quiet);
    await eventually(() => expect(broker.refused).toBeGreaterThan(1));
    broker.accept();
    await eventually(() => expect(publisher.connected).toBe(true));
    await publisher.close();
  });

  it('is tried again by the watch over the broker', async () => {
    let uptimes = 0;
    const watch = new BrokerWatch(
      { url: broker.url },
      'refused-watch',
      { uptime: () => uptimes++, dropped: () => undefined },
      quiet,
    );
    await eventually(() => expect(broker.refused).toBeGreaterThan(1));
    broker.accept();
    await eventually(() => expect(uptimes).toBeGreaterThan(0));
    await watch.close();
  });

  it('is tried again by the reader of retained messages with its next read', async () => {
    const reader = new RetainedReader({ url: broker.url }, 'refused-reader', 'spec/sentinel', quiet);
    await expect(reader.read(['in/a'])).rejects.toThrow('no connection');
    broker.accept();
    expect(await reader.read(['in/a'])).toEqual(new Map());
    await reader.close();
  });
});

describe('a connection whose broker takes bytes, answers nothing and never closes', () => {
  let link: Proxy;

  beforeEach(async () => {
    link = await Proxy.before(mosquitto.port);
  });
  afterEach(() => link.stop());

  it('can be ended by the watch over the broker', async () => {
    let uptimes = 0;
    const listener = { uptime: () => uptimes++, dropped: () => undefined };
    const watch = new BrokerWatch({ url: `mqtt://127.0.0.1:${link.port}` }, 'silent-watch', listener, quiet);
    await eventually(() => expect(uptimes).toBeGreaterThan(0));
    link.silence();
    await watch.close();
  });

  it('can be ended by the reader of retained messages, also during a read', async () => {
    const reader = new RetainedReader(
      { url: `mqtt://127.0.0.1:${link.port}` },
      'silent-reader',
      'spec/sentinel',
      quiet,
    );
    await reader.read(['in/a']);
    link.silence();
    const reads = [reader.read(['in/a']), reader.read(['in/b'])];
    const outcomes = Promise.allSettled(reads);
    await reader.close();
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });
});
