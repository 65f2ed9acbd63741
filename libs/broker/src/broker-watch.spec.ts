import { connectAsync, type MqttClient } from 'mqtt';
import { waitUntil } from '../../../scripts/stack.mjs';
import { eventually, freePort, quiet, startMosquitto, type Server } from '../../../test/support/servers.js';
import { BrokerWatch, droppedSince } from './broker-watch.js';
import type { Uptime } from './uptime-proof.js';

/** For a subscriber that acknowledges nothing, the broker sends one message, queues one, and drops the others. */
const CONFIG = ['sys_interval 1', 'max_queued_messages 1', 'max_inflight_messages 1'];

/** A report counts when it is 5 s younger than another one, and again after a restart: that takes seconds, so it looks less often than `eventually`. */
function untilReported(what: string, check: () => void): Promise<void> {
  return waitUntil(check, { what: `${what} to be reported` });
}

let broker: Server;
let watch: BrokerWatch;
let uptimes: Uptime[];
let dropped: number;

beforeEach(async () => {
  broker = await startMosquitto({ config: CONFIG });
  uptimes = [];
  dropped = 0;
  const listener = {
    uptime: (uptime: Uptime) => void uptimes.push(uptime),
    dropped: (messages: number) => void (dropped += messages),
  };
  watch = new BrokerWatch({ url: broker.url }, `watch-${Math.random()}`, listener, quiet);
});
afterEach(async () => {
  await watch.close();
  await broker.stop();
});

describe('droppedSince', () => {
  it.each([
    ['a first report that is retained: a sweep at the start covers it', undefined, 7, true, 0],
    ['a first report that is live: the broker had dropped nothing before', undefined, 7, false, 7],
    ['a first report of a broker that has dropped nothing', undefined, 0, false, 0],
    ['a report that is repeated', 7, 7, true, 0],
    ['a report that has risen', 7, 9, false, 2],
    ['a retained report after a reconnect that has risen', 7, 9, true, 2],
    ['a report of a broker that was restarted', 7, 3, false, 3],
  ])('counts %s', (_, before, value, retain, expected) => {
    expect(droppedSince(before, value, retain)).toBe(expected);
  });
});

describe('BrokerWatch', () => {
  it('reports the uptime of the broker, and that the broker was restarted', async () => {
    await untilReported('the uptime', () => expect(uptimes).toMatchObject([{ run: 'unknown' }]));
    const { port } = broker;
    await broker.stop();
    broker = await startMosquitto({ port, config: CONFIG });
    await untilReported('the restart', () => expect(uptimes).toMatchObject([{ run: 'unknown' }, { run: 'new' }]));
  });

  it('reports how many messages the broker has dropped since the first report', async () => {
    const subscriber: MqttClient = await connectAsync(broker.url);
    subscriber.handleMessage = () => undefined;
    await subscriber.subscribeAsync('spec/topic', { qos: 1 });
    await untilReported('the uptime', () => expect(uptimes.length).toBeGreaterThan(0));
    const publisher = await connectAsync(broker.url);
    await eventually('a dropped message is reported', async () => {
      await publisher.publishAsync('spec/topic', 'x', { qos: 1 });
      expect(dropped).toBeGreaterThan(0);
    });
    await publisher.endAsync(true);
    await subscriber.endAsync(true);
  });

  it('can be closed if there is no broker', async () => {
    const lonely = new BrokerWatch(
      { url: `mqtt://127.0.0.1:${await freePort()}` },
      'lonely',
      { uptime: () => undefined, dropped: () => undefined },
      quiet,
    );
    await lonely.close();
  });
});
