import { createLogger, type Logger } from '@app/platform';
import { waitUntil } from '../../../scripts/stack.mjs';
import { ContraryBroker } from '../../../test/support/contrary-broker.js';
import { Proxy } from '../../../test/support/proxy.js';
import { eventually, quiet, startMosquitto, type Server } from '../../../test/support/servers.js';
import { BrokerWatch } from './broker-watch.js';
import { openMqtt } from './mqtt-connection.js';
import { Publisher } from './publisher.js';
import { RetainedReader } from './retained-reader.js';

/** A report of the uptime counts when it is 5 s younger than another one: that takes seconds, so it looks less often than `eventually`. */
function untilReported(check: () => void): Promise<void> {
  return waitUntil(check, { what: 'an uptime to be reported' });
}

const noListener = { uptime: () => undefined, dropped: () => undefined };

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

describe('a connection whose CONNECT the broker refuses', () => {
  it('is opened again by MQTT.js until the broker accepts it', async () => {
    const client = openMqtt({ url: broker.url }, { clientId: 'refused', reconnectPeriod: 20 });
    client.on('error', () => undefined);
    await eventually('the broker refuses a second CONNECT', () => expect(broker.refused).toBeGreaterThan(1));
    broker.accept();
    await eventually('the client is connected', () => expect(client.connected).toBe(true));
    await client.endAsync(true);
  });

  it('is opened again by the publisher', async () => {
    const publisher = new Publisher({ url: broker.url }, 'refused-publisher', quiet);
    await eventually('the broker refuses a second CONNECT', () => expect(broker.refused).toBeGreaterThan(1));
    broker.accept();
    await eventually('the publisher is connected', () => expect(publisher.connected).toBe(true));
    await publisher.close();
  });

  it('is opened again by the broker watch', async () => {
    let uptimes = 0;
    const watch = new BrokerWatch(
      { url: broker.url },
      'refused-watch',
      { uptime: () => uptimes++, dropped: () => undefined },
      quiet,
    );
    await eventually('the broker refuses a second CONNECT', () => expect(broker.refused).toBeGreaterThan(1));
    broker.accept();
    await untilReported(() => expect(uptimes).toBeGreaterThan(0));
    await watch.close();
  });

  it.each([
    ['publisher', (logger: Logger) => new Publisher({ url: broker.url }, 'refused', logger)],
    ['broker watch', (logger: Logger) => new BrokerWatch({ url: broker.url }, 'refused', noListener, logger)],
  ])('is not logged at each attempt of the %s', async (name, open) => {
    const lines: string[] = [];
    const connection = open(createLogger('spec', 'warn', { write: (line: string) => void lines.push(line) }));
    await eventually('the broker refuses four CONNECTs', () => expect(broker.refused).toBeGreaterThan(3));
    // On a slow machine a second line may be there.
    expect(lines.filter((line) => line.includes(`${name} error`)).length).toBeLessThanOrEqual(2);
    await connection.close();
  });

  it('is opened again by the next read of the retained reader', async () => {
    const reader = new RetainedReader({ url: broker.url }, 'refused-reader', 'spec/sentinel', quiet);
    await expect(reader.read(['in/a'])).rejects.toThrow('the broker cannot be read');
    broker.accept();
    expect(await reader.read(['in/a'])).toEqual(new Map());
    await reader.close();
  });
});

describe('a connection whose broker takes bytes, answers nothing and never closes it', () => {
  let link: Proxy;

  beforeEach(async () => {
    link = await Proxy.before(mosquitto.port);
  });
  afterEach(() => link.stop());

  it('can be ended by the broker watch', async () => {
    let uptimes = 0;
    const listener = { uptime: () => uptimes++, dropped: () => undefined };
    const watch = new BrokerWatch({ url: `mqtt://127.0.0.1:${link.port}` }, 'silent-watch', listener, quiet);
    await untilReported(() => expect(uptimes).toBeGreaterThan(0));
    link.silence();
    await watch.close();
  });

  it('can be ended by the retained reader, also during a read', async () => {
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
