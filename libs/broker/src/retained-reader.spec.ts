import { connectAsync, type MqttClient } from 'mqtt';
import { ContraryBroker } from '../../../test/support/contrary-broker.js';
import { earlierFirst, identifiersLost, withoutIdentifiers } from '../../../test/support/contrary/retained-again.js';
import { lostRetained } from '../../../test/support/contrary/retained-losses.js';
import { eventually, freePort, quiet, startMosquitto, type Server } from '../../../test/support/servers.js';
import { IncompleteReadError, RetainedReader } from './retained-reader.js';

const SENTINEL = 'spec/sentinel';
let broker: Server;
let device: MqttClient;

beforeAll(async () => {
  broker = await startMosquitto();
  device = await connectAsync(broker.url);
});
afterAll(async () => {
  await device.endAsync();
  await broker.stop();
});

async function withReader<T>(use: (reader: RetainedReader) => Promise<T>, url = broker.url, readMs = 5000): Promise<T> {
  const reader = new RetainedReader({ url: url }, `reader-${Math.random()}`, SENTINEL, quiet, { readMs });
  try {
    return await use(reader);
  } finally {
    await reader.close();
  }
}

describe('RetainedReader', () => {
  it('distinguishes topics with a retained message from topics without one', async () => {
    await device.publishAsync('in/a', 'A', { qos: 1, retain: true });
    await device.publishAsync('in/b', 'B', { qos: 1, retain: false });
    const found = await withReader((reader) => reader.read(['in/a', 'in/b', 'in/c']));
    expect(Object.fromEntries(found)).toEqual({ 'in/a': Buffer.from('A') });
  });

  it('reads the current message of a topic that it has read before', async () => {
    await withReader(async (reader) => {
      for (const text of ['one', 'two']) {
        await device.publishAsync('in/again', text, { qos: 1, retain: true });
        expect((await reader.read(['in/again'])).get('in/again')?.toString()).toBe(text);
      }
      await device.publishAsync('in/again', '', { qos: 1, retain: true });
      expect((await reader.read(['in/again'])).has('in/again')).toBe(false);
    });
  });

  it('gives each of several simultaneous reads its own topics', async () => {
    const topics = Array.from({ length: 300 }, (_, i) => `in/many-${i}`);
    await Promise.all(topics.map((topic) => device.publishAsync(topic, topic, { qos: 1, retain: true })));
    const found = await withReader((reader) =>
      Promise.all([reader.read(topics.slice(0, 150)), reader.read(topics.slice(150)), reader.read(['in/none'])]),
    );
    expect(found.map(({ size }) => size)).toEqual([150, 150, 0]);
  });

  it('reads at the first attempt after the broker was restarted between two reads', async () => {
    const port = await freePort();
    let own = await startMosquitto({ port });
    await withReader(async (reader) => {
      await reader.read(['in/a']);
      await own.stop();
      own = await startMosquitto({ port });
      expect(await reader.read(['in/a'])).toEqual(new Map());
    }, own.url);
    await own.stop();
  });

  it('rejects a read if the broker is away, and reads when it is back', async () => {
    const port = await freePort();
    await withReader(async (reader) => {
      await expect(reader.read(['in/a'])).rejects.toThrow(IncompleteReadError);
      const late = await startMosquitto({ port });
      try {
        expect((await reader.read(['in/a'])).size).toBe(0);
      } finally {
        await late.stop();
      }
    }, `mqtt://127.0.0.1:${port}`);
  });

  it('distinguishes topics with and without a retained message, whatever the order in which the broker serves filters', async () => {
    await device.publishAsync('in/a', 'A', { qos: 1, retain: true });
    const contrary = await ContraryBroker.before(broker.port);
    contrary.reverseRetained();
    await withReader(async (reader) => {
      const found = await reader.read(['in/a', 'in/none']);
      expect([...found.keys()]).toEqual(['in/a']);
    }, contrary.url);
    await contrary.stop();
  });

  it('ignores late messages of an earlier read: its sentinel ends no other read, and its payloads are old', async () => {
    await device.publishAsync('late/a', 'old', { qos: 1, retain: true });
    await device.publishAsync('late/b', 'B', { qos: 1, retain: true });
    const contrary = await ContraryBroker.before(broker.port, earlierFirst);
    await withReader(async (reader) => {
      expect([...(await reader.read(['late/a'])).keys()]).toEqual(['late/a']);
      expect([...(await reader.read(['late/b'])).keys()]).toEqual(['late/b']);
      await device.publishAsync('late/a', '', { qos: 1, retain: true });
      expect([...(await reader.read(['late/a', 'late/b'])).keys()]).toEqual(['late/b']);
    }, contrary.url);
    await contrary.stop();
  });

  it.each([
    ['supports no subscription identifiers', withoutIdentifiers],
    ['returns no subscription identifiers', identifiersLost],
  ])('reads also if the broker %s', async (_, fault) => {
    await device.publishAsync('in/a', 'A', { qos: 1, retain: true });
    const contrary = await ContraryBroker.before(broker.port, fault);
    await withReader(async (reader) => {
      for (let i = 0; i < 2; i++) expect([...(await reader.read(['in/a', 'in/none'])).keys()]).toEqual(['in/a']);
    }, contrary.url);
    await contrary.stop();
  });

  it('closes a connection if the sentinel is not acknowledged in time, and reads when the broker acknowledges again', async () => {
    const contrary = await ContraryBroker.before(broker.port);
    contrary.withholdPubacks();
    await device.publishAsync('in/a', 'A', { qos: 1, retain: true });
    await withReader(
      async (reader) => {
        await expect(reader.read(['in/a'])).rejects.toThrow('the sentinel was not published');
        contrary.release();
        await eventually('a read succeeds', async () => expect((await reader.read(['in/a'])).has('in/a')).toBe(true));
      },
      contrary.url,
      1000,
    );
    await contrary.stop();
  });

  it('can be closed while its sentinel is not acknowledged', async () => {
    const contrary = await ContraryBroker.before(broker.port);
    contrary.withholdPubacks();
    const hour = 3_600_000;
    const reader = new RetainedReader({ url: contrary.url }, 'reader-closed', SENTINEL, quiet, { readMs: hour });
    const read = expect(reader.read(['in/a'])).rejects.toThrow('the reader is closed');
    await eventually('the PUBACK of the sentinel is withheld', () => expect(contrary.withheld).toBe(1));
    await Promise.all([reader.close(), read]);
    await contrary.stop();
  });

  it('asks for the sentinel once more if it does not come', async () => {
    await device.publishAsync('in/a', 'A', { qos: 1, retain: true });
    const contrary = await ContraryBroker.before(broker.port, lostRetained(SENTINEL, 1));
    await withReader(
      async (reader) => expect([...(await reader.read(['in/a', 'in/none'])).keys()]).toEqual(['in/a']),
      contrary.url,
      2000,
    );
    await contrary.stop();
  });

  it('reads on another connection after it asked again, if the broker returns no subscription identifiers', async () => {
    await device.publishAsync('in/a', 'A', { qos: 1, retain: true });
    // The second sentinel comes before the messages of the next read of the connection.
    const contrary = await ContraryBroker.before(broker.port, earlierFirst, lostRetained(SENTINEL, 1), identifiersLost);
    await withReader(
      async (reader) => {
        await reader.read(['in/none']);
        expect([...(await reader.read(['in/a'])).keys()]).toEqual(['in/a']);
      },
      contrary.url,
      2000,
    );
    await contrary.stop();
  });

  it('rejects a read if the broker does not send the sentinel', async () => {
    await withReader(
      async (reader) => {
        await reader.read(['in/a']);
        // Without the retained sentinel, the broker has nothing to send.
        await device.publishAsync(SENTINEL, '', { qos: 1, retain: true });
        await expect(reader.read(['in/a'])).rejects.toThrow(`did not send the message that is retained on ${SENTINEL}`);
        expect((await reader.read(['in/a'])).has('in/a')).toBe(true);
      },
      broker.url,
      200,
    );
  });
});
