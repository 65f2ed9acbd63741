import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync, type IPublishPacket, type MqttClient } from 'mqtt';
import { ContraryBroker } from '../../../test/support/contrary-broker.js';
import { Proxy } from '../../../test/support/proxy.js';
import { eventually, freePort, quiet, startMosquitto, type Server } from '../../../test/support/servers.js';
import { Publisher, type PublishOutcome } from './publisher.js';

let broker: Server;
let folder: string;
let subscriber: MqttClient;
let received: { topic: string; text: string; packet: IPublishPacket }[];
let opened: Publisher[];
/** Of one test, stopped after it: brokers and links to them. */
let own: { readonly stop: () => Promise<void> }[];
let cases = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cloud-connector-spec-'));
  const acl = join(folder, 'acl');
  await writeFile(acl, 'topic readwrite out/#\ntopic read $SYS/#\n');
  broker = await startMosquitto({ config: [`acl_file ${acl}`] });
});

afterAll(async () => {
  await broker.stop();
  await rm(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  opened = [];
  own = [];
  received = [];
  subscriber = await connectAsync(broker.url, { protocolVersion: 5 });
  subscriber.on('message', (topic, payload, packet) => received.push({ topic, text: payload.toString(), packet }));
});

afterEach(async () => {
  for (const { stop } of own.toReversed()) await stop();
  await Promise.all(
    opened.map(async (publisher) => {
      // Closing waits for what the broker has not acknowledged; one that is gone will not.
      if (own.length > 0) await eventually(() => expect(publisher.connected).toBe(false));
      await publisher.close();
    }),
  );
  await subscriber.endAsync();
});

async function startOwn(options: { port?: number; config?: string[] }): Promise<Server> {
  const server = await startMosquitto(options);
  own.push(server);
  return server;
}

async function open(url = broker.url): Promise<Publisher> {
  const publisher = openWithoutWaiting(url);
  await eventually(() => expect(publisher.connected).toBe(true));
  return publisher;
}

function openWithoutWaiting(url: string): Publisher {
  const publisher = new Publisher({ url: url }, `publisher-${cases++}`, quiet);
  opened.push(publisher);
  return publisher;
}

const ACKNOWLEDGED: PublishOutcome = { kind: 'acknowledged' };
const UNHEARD: PublishOutcome = { kind: 'unheard' };
const ABORTED: PublishOutcome = { kind: 'aborted' };

describe('the outcome of a publish', () => {
  it('a publish is acknowledged if there is a subscriber, and the subscriber receives it', async () => {
    await subscriber.subscribeAsync('out/a', { qos: 1 });
    const publisher = await open();
    expect(await publisher.publish('out/a', '{"text":"ü😀"}')).toEqual(ACKNOWLEDGED);
    await eventually(() => expect(received).toHaveLength(1));
    expect(received[0]).toMatchObject({ topic: 'out/a', text: '{"text":"ü😀"}', packet: { qos: 1, retain: false } });
  });

  it('a publish is reported as unheard if there are no subscribers', async () => {
    await subscriber.subscribeAsync('out/another', { qos: 1 });
    const publisher = await open();
    expect(await publisher.publish('out/a', 'x')).toEqual(UNHEARD);
  });

  it('each of many mixed publishes gets its own outcome', async () => {
    await subscriber.subscribeAsync('out/heard/+', { qos: 1 });
    const publisher = await open();
    const outcomes = await Promise.all(
      Array.from({ length: 300 }, (_, i) => publisher.publish(i % 3 ? `out/heard/${i}` : `out/unheard/${i}`, `${i}`)),
    );
    expect(outcomes).toEqual(Array.from({ length: 300 }, (_, i) => (i % 3 ? ACKNOWLEDGED : UNHEARD)));
    await eventually(() => expect(received).toHaveLength(200));
    expect(received.map(({ text }) => Number(text))).toEqual(
      Array.from({ length: 300 }, (_, i) => i).filter((i) => i % 3),
    );
  });

  it('a publish is refused for good if the access control of the broker forbids the topic', async () => {
    const publisher = await open();
    expect(await publisher.publish('forbidden/a', 'x')).toEqual({
      kind: 'refused',
      forGood: true,
      details: expect.stringMatching(/not authorized/i) as string,
    });
    await subscriber.subscribeAsync('out/a', { qos: 1 });
    expect(await publisher.publish('out/a', 'x')).toEqual(ACKNOWLEDGED);
  });
});

describe('the end of a publisher', () => {
  it('comes though the broker takes bytes, answers nothing and never closes', async () => {
    const link = await Proxy.before(broker.port);
    own.push({ stop: () => link.stop() });
    const url = `mqtt://127.0.0.1:${link.port}`;
    const [idle, waiting] = [await open(url), await open(url)];
    link.silence();
    const outcome = waiting.publish('out/a', 'x');
    await Promise.all([idle.close(), waiting.close()]);
    expect(await outcome).toEqual(ABORTED);
    await eventually(() => expect([idle.connected, waiting.connected]).toEqual([false, false]));
  });
});

describe('the options of a publish', () => {
  it('carry the expiry to the subscriber, in whole seconds', async () => {
    await subscriber.subscribeAsync('out/a', { qos: 1 });
    const publisher = await open();
    await publisher.publish('out/a', 'with', { expiresAt: performance.now() + 3_600_000 });
    await publisher.publish('out/a', 'without');
    await eventually(() => expect(received).toHaveLength(2));
    const expiry = received.map(({ packet }) => packet.properties?.messageExpiryInterval);
    expect(expiry[0]).toBeGreaterThan(3590);
    expect(expiry[0]).toBeLessThanOrEqual(3600);
    expect(expiry[1]).toBeUndefined();
  });

  it('give a second at least to what has hardly any time left, since 0 would mean at once', async () => {
    await subscriber.subscribeAsync('out/a', { qos: 1 });
    const publisher = await open();
    await publisher.publish('out/a', 'x', { expiresAt: performance.now() });
    await eventually(() => expect(received).toHaveLength(1));
    expect(received[0]?.packet.properties?.messageExpiryInterval).toBe(1);
  });

  it('a publish with retain stores the retained message, and an empty one removes it', async () => {
    const publisher = await open();
    await publisher.publish('out/retained', 'kept', { retain: true });
    await subscriber.subscribeAsync('out/retained', { qos: 1 });
    await eventually(() => expect(received.map(({ text }) => text)).toEqual(['kept']));
    await publisher.publish('out/retained', '', { retain: true });
    const later = await connectAsync(broker.url, { protocolVersion: 5 });
    const seen: string[] = [];
    later.on('message', (_topic, payload) => seen.push(payload.toString()));
    await later.subscribeAsync('out/retained', { qos: 1 });
    await publisher.publish('out/retained', 'live');
    await eventually(() => expect(seen).toContain('live'));
    expect(seen).toEqual(['live']);
    await later.endAsync();
  });
});

describe('a broker that is away', () => {
  it('completes publishes made during the outage when the broker is back', async () => {
    const port = await freePort();
    const first = await startMosquitto({ port });
    const publisher = await open(first.url);
    await first.stop();
    await eventually(() => expect(publisher.connected).toBe(false));
    const outcomes = Promise.all([publisher.publish('out/a', '1'), publisher.publish('out/a', '2')]);
    await startOwn({ port });
    expect(await outcomes).toEqual([UNHEARD, UNHEARD]);
    expect(publisher.connected).toBe(true);
  });

  it('completes publishes that were pending at the outage with the outcome of the second attempt', async () => {
    const port = await freePort();
    const first = await startMosquitto({ port });
    const link = await slowLink(port);
    own.push(link);
    const publisher = await open(link.url);
    const outcome = publisher.publish('out/a', 'x');
    await eventually(() => expect(link.held()).toBe(1));
    await first.stop();
    await eventually(() => expect(publisher.connected).toBe(false));
    link.passAll();
    await startOwn({ port });
    expect(await outcome).toEqual(UNHEARD);
    expect(link.published()).toBe(2);
  });

  it('leaves the outcome unknown of what had to be written by a time, and sends it no more', async () => {
    const port = await freePort();
    const first = await startMosquitto({ port });
    const link = await slowLink(port);
    own.push(link);
    const publisher = await open(link.url);
    const writeBy = performance.now() + 600_000;
    const outcome = publisher.publish('out/a', 'x', { writeBy });
    await eventually(() => expect(link.held()).toBe(1));
    await first.stop();
    expect(await outcome).toMatchObject({ kind: 'unknown' });
    link.passAll();
    await startOwn({ port });
    expect(await publisher.publish('out/a', 'marker', { writeBy })).toEqual(UNHEARD);
    expect(link.texts()).toEqual(['x', 'marker']);
  });

  it('is too late for what had to be written while it was away', async () => {
    const port = await freePort();
    const publisher = openWithoutWaiting(`mqtt://127.0.0.1:${port}`);
    expect(await publisher.publish('out/a', 'late', { writeBy: performance.now() + 5 })).toEqual({ kind: 'late' });
    const { url } = await startOwn({ port });
    const listener = await connectAsync(url, { protocolVersion: 5 });
    const seen: string[] = [];
    listener.on('message', (_topic, payload) => seen.push(payload.toString()));
    await listener.subscribeAsync('out/a', { qos: 1 });
    expect(await publisher.publish('out/a', 'marker')).toEqual(ACKNOWLEDGED);
    await eventually(() => expect(seen).toEqual(['marker']));
    await listener.endAsync();
  });

  it('is written nothing whose time is over, as after a freeze, although the connection would take it', async () => {
    const { link, publisher } = await openSlow();
    const writeBy = performance.now() - 1;
    expect(await publisher.publish('out/a', 'late', { writeBy })).toEqual({ kind: 'late' });
    link.passAll();
    expect(await publisher.publish('out/a', 'marker')).toEqual(UNHEARD);
    expect(link.texts()).toEqual(['marker']);
  });

  it('is written nothing whose time is over when its turn comes', async () => {
    const { link, publisher } = await openSlow();
    const first = Array.from({ length: 5 }, () => publisher.publish('out/a', 'x'));
    await eventually(() => expect(link.underWay()).toBe(5));
    const late = publisher.publish('out/a', 'late', { writeBy: performance.now() + 5 });
    expect(await late).toEqual({ kind: 'late' });
    link.passAll();
    await Promise.all(first);
    expect(await publisher.publish('out/a', 'marker')).toEqual(UNHEARD);
    expect(link.texts()).toEqual(['x', 'x', 'x', 'x', 'x', 'marker']);
  });

  it('gives back the places of aborted publishes when the connection ends', async () => {
    const port = await freePort();
    const first = await startMosquitto({ port, config: ['max_inflight_messages 5'] });
    const link = await slowLink(port);
    own.push(link);
    const publisher = await open(link.url);
    const stopping = new AbortController();
    const outcomes = Array.from({ length: 5 }, () =>
      publisher.publish('out/a', 'aborted', { signal: stopping.signal }),
    );
    await eventually(() => expect(link.underWay()).toBe(5));
    stopping.abort();
    expect(await Promise.all(outcomes)).toEqual(outcomes.map(() => ABORTED));
    const waiting = watch(publisher.publish('out/a', 'waits for its turn'));
    await first.stop();
    link.passAll();
    await startOwn({ port, config: ['max_inflight_messages 5'] });
    await eventually(() => expect(waiting.outcome).toEqual(UNHEARD));
    expect(link.texts().filter((text) => text === 'aborted')).toHaveLength(5);
  });

  it('completes publishes made before the broker was first reachable', async () => {
    const port = await freePort();
    const publisher = openWithoutWaiting(`mqtt://127.0.0.1:${port}`);
    const outcome = publisher.publish('out/a', '1');
    await startOwn({ port });
    expect(await outcome).toEqual(UNHEARD);
  });

  it('does not keep one waiting whose wait is aborted', async () => {
    const publisher = openWithoutWaiting(`mqtt://127.0.0.1:${await freePort()}`);
    const stopping = new AbortController();
    const outcome = publisher.publish('out/a', 'x', { signal: stopping.signal });
    stopping.abort();
    expect(await outcome).toEqual(ABORTED);
  });

  it('ends the wait for a place by untilWritten, but not the wait for the outcome of what has been written', async () => {
    const contrary = await ContraryBroker.before(broker.port);
    own.push({ stop: () => contrary.stop() });
    const publisher = await open(contrary.url);
    contrary.withholdPubacks();
    const [unwanted, stopping] = [new AbortController(), new AbortController()];
    const untilWritten = unwanted.signal;
    const first = publisher.publish('out/a', '1', { untilWritten, signal: stopping.signal });
    const second = publisher.publish('out/a', '2', { untilWritten });
    await eventually(() => expect(contrary.withheld).toBe(2));
    unwanted.abort();
    expect(await publisher.publish('out/a', '3', { untilWritten })).toEqual(ABORTED);
    expect(await Promise.race([first, second, Promise.resolve('they wait')])).toBe('they wait');
    stopping.abort();
    expect(await first).toEqual(ABORTED);
    // It may have been lost with its connection, and nobody wants it any more.
    await contrary.stop();
    expect(await second).toEqual(ABORTED);
  });

  it('the broker is not asked if the wait was aborted before', async () => {
    await subscriber.subscribeAsync('out/a', { qos: 1 });
    const publisher = await open();
    expect(await publisher.publish('out/a', 'aborted', { signal: AbortSignal.abort() })).toEqual(ABORTED);
    expect(await publisher.publish('out/a', 'marker')).toEqual(ACKNOWLEDGED);
    await eventually(() => expect(received).not.toHaveLength(0));
    expect(received.map(({ text }) => text)).toEqual(['marker']);
  });

  it('lets the publisher close, also with something left to publish', async () => {
    const publisher = openWithoutWaiting(`mqtt://127.0.0.1:${await freePort()}`);
    void publisher.publish('out/a', 'x');
    await publisher.close();
    expect(publisher.connected).toBe(false);
  });
});

describe('a broker that answers pings and acknowledges no publish', () => {
  it('is connected to again after a time, what was under way is unknown, and it counts as stalled until it acknowledges', async () => {
    const contrary = await ContraryBroker.before(Number(new URL(broker.url).port));
    own.push({ stop: () => contrary.stop() });
    const publisher = new Publisher({ url: contrary.url }, `publisher-${cases++}`, quiet, 500);
    opened.push(publisher);
    await eventually(() => expect(publisher.connected).toBe(true));
    contrary.withholdPubacks();
    const writeBy = performance.now() + 600_000;
    const outcomes = Array.from({ length: 3 }, () => publisher.publish('out/a', 'x', { writeBy }));
    for (const outcome of outcomes) expect(await outcome).toMatchObject({ kind: 'unknown' });
    expect(publisher.stalled).toBe(true);
    contrary.release();
    expect(await publisher.publish('out/a', 'marker')).toEqual(UNHEARD);
    expect([publisher.connected, publisher.stalled]).toEqual([true, false]);
  });
});

describe("the broker's limits", () => {
  it('allow as many publishes under way as its receive maximum says', async () => {
    const { link, publisher } = await openSlow();
    const outcomes = Promise.all(Array.from({ length: 60 }, (_, i) => publisher.publish(`out/${i}`, 'x')));
    await eventually(() => expect(link.underWay()).toBe(5));
    while (link.acknowledged() < 60) {
      await eventually(() => expect(link.held()).toBeGreaterThan(0));
      link.passOne();
    }
    expect(await outcomes).toEqual(Array.from({ length: 60 }, () => UNHEARD));
    expect(link.mostUnderWay()).toBe(5);
  });

  it('do not keep one waiting for its turn whose wait is aborted', async () => {
    const { link, publisher } = await openSlow();
    const first = Array.from({ length: 5 }, () => publisher.publish('out/a', 'x'));
    await eventually(() => expect(link.underWay()).toBe(5));
    const stopping = new AbortController();
    const waiting = watch(publisher.publish('out/a', 'waits for its turn', { signal: stopping.signal }));
    stopping.abort();
    await eventually(() => expect(waiting.outcome).toEqual(ABORTED));
    link.passAll();
    expect(await Promise.all(first)).toEqual(Array.from({ length: 5 }, () => UNHEARD));
    // It left the queue: it is not published after all.
    expect(await publisher.publish('out/a', 'marker')).toEqual(UNHEARD);
    expect(link.published()).toBe(6);
  });

  it.each(['max_packet_size 2000', 'message_size_limit 2000'])(
    'on the size of a message refuse the one that is too large, and harm no other: %s',
    async (limit) => {
      const publisher = await open((await startOwn({ config: [limit] })).url);
      const large = watch(publisher.publish('out/large', 'x'.repeat(5000)));
      const beside = watch(publisher.publish('out/beside', 'y'));
      await eventually(() => expect(large.outcome).toMatchObject({ kind: 'refused' }));
      await eventually(() => expect(beside.outcome).toBeDefined());
      const later = watch(publisher.publish('out/later', 'z'));
      await eventually(() => expect(later.outcome).toEqual(UNHEARD));
    },
  );
});

/** A publisher whose broker takes 5 publishes at a time and answers as slowly as the test wants. */
async function openSlow(): Promise<{ link: SlowLink; publisher: Publisher }> {
  const small = await startOwn({ config: ['max_inflight_messages 5'] });
  const link = await slowLink(small.port);
  own.push(link);
  return { link, publisher: await open(link.url) };
}

/** The outcome, once there is one. */
function watch(publishing: Promise<PublishOutcome>): { outcome: PublishOutcome | undefined } {
  const watched: { outcome: PublishOutcome | undefined } = { outcome: undefined };
  void publishing.then((outcome) => {
    watched.outcome = outcome;
  });
  return watched;
}

interface SlowLink {
  url: string;
  published: () => number;
  /** Payloads of what was published, of at most 127 bytes each. */
  texts: () => string[];
  acknowledged: () => number;
  held: () => number;
  underWay: () => number;
  mostUnderWay: () => number;
  passOne: () => void;
  /** From now on nothing is held. */
  passAll: () => void;
  stop: () => Promise<void>;
}

const PUBLISH = 3;
const PUBACK = 4;

/** A link to the broker that holds its PUBACKs back, and counts. */
async function slowLink(brokerPort: number): Promise<SlowLink> {
  let published = 0;
  const texts: string[] = [];
  let acknowledged = 0;
  let most = 0;
  let open = false;
  const held: (() => void)[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(brokerPort, '127.0.0.1');
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    onPackets(near, (type, bytes) => {
      if (type === PUBLISH) {
        most = Math.max(most, ++published - acknowledged);
        texts.push(payloadOf(bytes));
      }
      far.write(bytes);
    });
    onPackets(far, (type, bytes) => {
      const pass = (): void => {
        if (type === PUBACK) acknowledged++;
        near.write(bytes);
      };
      if (type === PUBACK && !open) held.push(pass);
      else pass();
    });
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    url: `mqtt://127.0.0.1:${port}`,
    published: () => published,
    texts: () => texts,
    acknowledged: () => acknowledged,
    held: () => held.length,
    underWay: () => published - acknowledged,
    mostUnderWay: () => most,
    passOne: () => held.shift()?.(),
    passAll: () => {
      open = true;
      for (const pass of held.splice(0)) pass();
    },
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

/** Of a PUBLISH at QoS 1 with a length of one byte: topic, packet id, properties, payload. */
function payloadOf(bytes: Buffer): string {
  const properties = 2 + 2 + bytes.readUInt16BE(2) + 2;
  return bytes.subarray(properties + 1 + (bytes[properties] ?? 0)).toString();
}

/** Cuts a stream of MQTT packets into packets: one byte of type and flags, the length in base 128, and the rest. */
function onPackets(socket: Socket, take: (type: number, bytes: Buffer) => void): void {
  let rest = Buffer.alloc(0);
  socket.on('data', (data: Buffer) => {
    rest = Buffer.concat([rest, data]);
    for (;;) {
      let length = 0;
      let at = 1;
      for (let shift = 0; ; shift += 7) {
        const byte = rest[at++];
        if (byte === undefined) return;
        length += (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      if (rest.length < at + length) return;
      take((rest[0] ?? 0) >> 4, rest.subarray(0, at + length));
      rest = rest.subarray(at + length);
    }
  });
}
