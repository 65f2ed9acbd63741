import { connectAsync } from 'mqtt';
import {
  ABORTED,
  ACKNOWLEDGED,
  NO_SUBSCRIBERS,
  watch,
  withPublishers,
  type Publishers,
} from '../../../test/support/publishers.js';
import { eventually } from '../../../test/support/servers.js';

let publishers: Publishers;

withPublishers((begun) => (publishers = begun));

describe('Publisher.publish', () => {
  it('is acknowledged if there is a subscriber, and the subscriber receives the message', async () => {
    await publishers.subscriber.subscribeAsync('out/a', { qos: 1 });
    const publisher = await publishers.open();
    expect(await publisher.publish('out/a', '{"text":"ü😀"}')).toEqual(ACKNOWLEDGED);
    await eventually('the subscriber receives the message', () => expect(publishers.received).toHaveLength(1));
    expect(publishers.received[0]).toMatchObject({
      topic: 'out/a',
      text: '{"text":"ü😀"}',
      packet: { qos: 1, retain: false },
    });
  });

  it('reports that there are no subscribers', async () => {
    await publishers.subscriber.subscribeAsync('out/another', { qos: 1 });
    const publisher = await publishers.open();
    expect(await publisher.publish('out/a', 'x')).toEqual(NO_SUBSCRIBERS);
  });

  it('gives each of many mixed publishes its own outcome', async () => {
    await publishers.subscriber.subscribeAsync('out/subscribed/+', { qos: 1 });
    const publisher = await publishers.open();
    const outcomes = await Promise.all(
      Array.from({ length: 300 }, (_, i) => publisher.publish(`out/${i % 3 ? 'subscribed' : 'other'}/${i}`, `${i}`)),
    );
    expect(outcomes).toEqual(Array.from({ length: 300 }, (_, i) => (i % 3 ? ACKNOWLEDGED : NO_SUBSCRIBERS)));
    await eventually('the subscriber receives its 200 messages', () => expect(publishers.received).toHaveLength(200));
    expect(publishers.received.map(({ text }) => Number(text))).toEqual(
      Array.from({ length: 300 }, (_, i) => i).filter((i) => i % 3),
    );
  });

  it('is refused for good if the access control of the broker forbids the topic', async () => {
    const publisher = await publishers.open();
    expect(await publisher.publish('forbidden/a', 'x')).toEqual({
      kind: 'refused',
      permanent: true,
      details: expect.stringMatching(/not authorized/i) as string,
    });
    await publishers.subscriber.subscribeAsync('out/a', { qos: 1 });
    expect(await publisher.publish('out/a', 'x')).toEqual(ACKNOWLEDGED);
  });

  it('sends the expiry to the subscriber in whole seconds', async () => {
    await publishers.subscriber.subscribeAsync('out/a', { qos: 1 });
    const publisher = await publishers.open();
    await publisher.publish('out/a', 'with', { expiresAt: performance.now() + 3_600_000 });
    await publisher.publish('out/a', 'without');
    await eventually('the subscriber receives both messages', () => expect(publishers.received).toHaveLength(2));
    const expiry = publishers.received.map(({ packet }) => packet.properties?.messageExpiryInterval);
    expect(expiry[0]).toBeGreaterThan(3590);
    expect(expiry[0]).toBeLessThanOrEqual(3600);
    expect(expiry[1]).toBeUndefined();
  });

  it('sends an expiry of at least a second, because 0 means that the message expires at once', async () => {
    await publishers.subscriber.subscribeAsync('out/a', { qos: 1 });
    const publisher = await publishers.open();
    await publisher.publish('out/a', 'x', { expiresAt: performance.now() });
    await eventually('the subscriber receives the message', () => expect(publishers.received).toHaveLength(1));
    expect(publishers.received[0]?.packet.properties?.messageExpiryInterval).toBe(1);
  });

  it('names the topic and the id of the answer to the subscriber', async () => {
    await publishers.subscriber.subscribeAsync('out/a', { qos: 1 });
    const publisher = await publishers.open();
    await publisher.publish('out/a', 'with', { request: { responseTopic: 'in/a', correlationData: 'm-é' } });
    await publisher.publish('out/a', 'without');
    await eventually('the subscriber receives both messages', () => expect(publishers.received).toHaveLength(2));
    const [withRequest, without] = publishers.received.map(({ packet }) => packet.properties);
    expect(withRequest).toMatchObject({ responseTopic: 'in/a', correlationData: Buffer.from('m-é') });
    expect(without ?? {}).toEqual({});
  });

  it('stores a retained message with `retain`, and removes it with an empty payload', async () => {
    const publisher = await publishers.open();
    await publisher.publish('out/retained', 'kept', { retain: true });
    await publishers.subscriber.subscribeAsync('out/retained', { qos: 1 });
    await eventually('the retained message is received', () =>
      expect(publishers.received.map(({ text }) => text)).toEqual(['kept']),
    );
    await publisher.publish('out/retained', '', { retain: true });
    const later = await connectAsync(publishers.broker.url, { protocolVersion: 5 });
    const seen: string[] = [];
    later.on('message', (_topic, payload) => seen.push(payload.toString()));
    await later.subscribeAsync('out/retained', { qos: 1 });
    await publisher.publish('out/retained', 'live');
    await eventually('the live message is received', () => expect(seen).toContain('live'));
    expect(seen).toEqual(['live']);
    await later.endAsync();
  });
});

describe('Publisher.close', () => {
  it('ends the connection although the broker takes bytes, answers nothing and never closes', async () => {
    const link = await publishers.proxy();
    const url = `mqtt://127.0.0.1:${link.port}`;
    const [idle, waiting] = [await publishers.open(url), await publishers.open(url)];
    link.silence();
    const outcome = waiting.publish('out/a', 'x');
    await Promise.all([idle.close(), waiting.close()]);
    expect(await outcome).toEqual(ABORTED);
    await eventually('both publishers are disconnected', () =>
      expect([idle.connected, waiting.connected]).toEqual([false, false]),
    );
  });
});

describe("Publisher, within the broker's limits", () => {
  it('has no more publishes pending than the receive maximum of the broker', async () => {
    const { link, publisher } = await publishers.openSlow();
    const outcomes = Promise.all(Array.from({ length: 60 }, (_, i) => publisher.publish(`out/${i}`, 'x')));
    await eventually('five publishes are pending', () => expect(link.pending).toBe(5));
    while (link.acknowledged < 60) {
      await eventually('the broker sends a PUBACK', () => expect(link.withheld).toBeGreaterThan(0));
      link.passOne();
    }
    expect(await outcomes).toEqual(Array.from({ length: 60 }, () => NO_SUBSCRIBERS));
    expect(link.mostPending).toBe(5);
  });

  it('removes a publish from the queue if its wait is aborted', async () => {
    const { link, publisher } = await publishers.openSlow();
    const first = Array.from({ length: 5 }, () => publisher.publish('out/a', 'x'));
    await eventually('five publishes are pending', () => expect(link.pending).toBe(5));
    const stopping = new AbortController();
    const waiting = watch(publisher.publish('out/a', 'waits for its turn', { signal: stopping.signal }));
    stopping.abort();
    await eventually('the queued publish is aborted', () => expect(waiting.outcome).toEqual(ABORTED));
    link.passAll();
    expect(await Promise.all(first)).toEqual(Array.from({ length: 5 }, () => NO_SUBSCRIBERS));
    expect(await publisher.publish('out/a', 'marker')).toEqual(NO_SUBSCRIBERS);
    expect(link.published).toBe(6);
  });

  it.each(['max_packet_size 2000', 'message_size_limit 2000'])(
    'refuses only the message that is too large for the broker: %s',
    async (limit) => {
      const publisher = await publishers.open((await publishers.startBroker({ config: [limit] })).url);
      const large = watch(publisher.publish('out/large', 'x'.repeat(5000)));
      const beside = watch(publisher.publish('out/beside', 'y'));
      await eventually('the large message is refused', () => expect(large.outcome).toMatchObject({ kind: 'refused' }));
      await eventually('the other message has an outcome', () => expect(beside.outcome).toBeDefined());
      const later = watch(publisher.publish('out/later', 'z'));
      await eventually('a later message is published', () => expect(later.outcome).toEqual(NO_SUBSCRIBERS));
    },
  );
});
