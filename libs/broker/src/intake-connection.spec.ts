import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { connectAsync, type IPublishPacket, type MqttClient, type Packet } from 'mqtt';
import { generate, parser } from 'mqtt-packet';
import { eventually, freePort, gate, quiet, startMosquitto, type Server } from '../../../test/support/servers.js';
import { IntakeConnection, type IntakeHandler, type IntakeOptions, type IntakePacket } from './intake-connection.js';

let broker: Server;
let publisher: MqttClient;
let cases = 0;
let opened: IntakeConnection[];
let clientId: string;
let topic: string;

beforeAll(async () => {
  broker = await startMosquitto();
  publisher = await connectAsync(broker.url, { protocolVersion: 5 });
});

afterAll(async () => {
  await publisher.endAsync();
  await broker.stop();
});

beforeEach(() => {
  opened = [];
  clientId = `lane-${cases++}`;
  topic = `in/${clientId}`;
});

afterEach(async () => {
  await Promise.all(opened.map((connection) => connection.close()));
});

function open(handler: IntakeHandler, more: Partial<IntakeOptions> = {}): IntakeConnection {
  const connection = new IntakeConnection(
    { url: broker.url, clientId, filters: [`$share/group/${topic}`], window: 1000, ...more },
    handler,
    quiet,
  );
  opened.push(connection);
  return connection;
}

/** A handler that notes what it is handed. */
function collector(then: IntakeHandler = () => Promise.resolve()): {
  packets: IntakePacket[];
  batches: IntakePacket[][];
  handler: IntakeHandler;
  texts: () => string[];
} {
  const packets: IntakePacket[] = [];
  const batches: IntakePacket[][] = [];
  return {
    packets,
    batches,
    texts: () => packets.map(({ payload }) => payload.toString()),
    handler: async (batch) => {
      packets.push(...batch);
      batches.push([...batch]);
      await then(batch);
    },
  };
}

async function publish(...texts: string[]): Promise<void> {
  await Promise.all(texts.map((text) => publisher.publishAsync(topic, text, { qos: 1 })));
}

function numbers(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `${from + i}`);
}

const CONNECT = 0x10;
const SUBSCRIBE = 0x82;
const CONNACK = [0x20, 3, 0, 0, 0];
const SESSION_TAKEN_OVER = [0xe0, 2, 0x8e, 0];

/** A broker of a few bytes, for what a real one does only at a bad moment. Packets are small enough to come in one piece. */
async function fakeBroker(answer: (socket: Socket, packet: number, bytes: Buffer) => void): Promise<Server> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('data', (bytes) => answer(socket, bytes[0] ?? 0, bytes));
    socket.on('error', () => socket.destroy());
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port,
    url: `mqtt://127.0.0.1:${port}`,
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

const never = new Promise<void>(() => undefined);

/** What the broker still keeps for the session: only the marker if everything was acknowledged. */
async function leftInSession(): Promise<string[]> {
  const rest = collector();
  const next = open(rest.handler);
  await next.ready();
  await publish('marker');
  await eventually(() => expect(rest.texts()).toContain('marker'));
  await next.close();
  return rest.texts().filter((text) => text !== 'marker');
}

describe('packets', () => {
  it('reach the handler in the order of arrival, 5,000 of them, while it takes its time', async () => {
    let calls = 0;
    const seen = collector(async () => {
      // Now and then a longer pause, so that batches of all sizes come about.
      for (let i = 0; i < calls % 7; i++) await new Promise((resolve) => setImmediate(resolve));
      calls++;
    });
    const connection = open(seen.handler, { window: 200 });
    await connection.ready();
    await publish(...numbers(5000));
    await eventually(() => expect(seen.packets).toHaveLength(5000));
    expect(seen.texts()).toEqual(numbers(5000));
    expect(seen.packets.some(({ dup }) => dup)).toBe(false);
    expect(seen.batches.length).toBeGreaterThan(1);
    await connection.close();
    expect(await leftInSession()).toEqual([]);
  });

  it('come in one batch at a time', async () => {
    let running = 0;
    let most = 0;
    const seen = collector(async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
    });
    await open(seen.handler).ready();
    for (let i = 0; i < 10; i++) await publish(...numbers(50, i * 50));
    await eventually(() => expect(seen.packets).toHaveLength(500));
    expect(most).toBe(1);
  });

  it('that wait for a session are handed over in large batches', async () => {
    const first = open(() => Promise.resolve());
    await first.ready();
    await first.close();
    const texts = numbers(3000).map((text) => text.padEnd(2000, '.'));
    await publish(...texts);
    const seen = collector();
    const connection = open(seen.handler, { window: 5000 });
    expect(await connection.ready()).toEqual({ sessionPresent: true });
    await eventually(() => expect(seen.packets).toHaveLength(3000));
    expect(seen.texts()).toEqual(texts);
    expect(Math.max(...seen.batches.map((batch) => batch.length))).toBeGreaterThan(50);
    await connection.close();
    expect(await leftInSession()).toEqual([]);
  });

  it('of several hundred kilobytes are handed over whole', async () => {
    const seen = collector();
    await open(seen.handler).ready();
    const texts = numbers(8).map((text) => text.repeat(300_000));
    await publish(...texts);
    await eventually(() => expect(seen.packets).toHaveLength(8));
    expect(seen.texts()).toEqual(texts);
  });

  it('carry topic, payload bytes and the retain flag as they were published', async () => {
    const seen = collector();
    await open(seen.handler, { filters: [`$share/group/${topic}/+`] }).ready();
    const bytes = Buffer.from([0, 255, 254, 1]);
    await publisher.publishAsync(`${topic}/a`, bytes, { qos: 1, retain: true });
    await publisher.publishAsync(`${topic}/b`, 'x', { qos: 1 });
    await publisher.publishAsync(`${topic}/a`, '', { qos: 1, retain: true });
    await eventually(() => expect(seen.packets).toHaveLength(3));
    expect(seen.packets).toEqual([
      expect.objectContaining({ topic: `${topic}/a`, payload: bytes, retain: true, dup: false }),
      expect.objectContaining({ topic: `${topic}/b`, payload: Buffer.from('x'), retain: false, dup: false }),
      expect.objectContaining({ topic: `${topic}/a`, payload: Buffer.alloc(0), retain: true, dup: false }),
    ]);
  });

  it.each(['$share/group/', ''])('that were retained before are not sent on subscribing to "%s…"', async (prefix) => {
    await publisher.publishAsync(topic, 'retained', { qos: 1, retain: true });
    const seen = collector();
    await open(seen.handler, { filters: [prefix + topic] }).ready();
    await publish('live');
    await eventually(() => expect(seen.texts()).toContain('live'));
    expect(seen.texts()).toEqual(['live']);
    await publisher.publishAsync(topic, '', { qos: 1, retain: true });
  });

  it('of QoS 0 are handed over too, between those of QoS 1, and need no acknowledgement', async () => {
    const seen = collector();
    const connection = open(seen.handler, { window: 3 });
    await connection.ready();
    for (let i = 0; i < 30; i++) await publisher.publishAsync(topic, `${i}`, { qos: i % 2 ? 1 : 0 });
    await eventually(() => expect(seen.packets).toHaveLength(30));
    expect(seen.texts()).toEqual(numbers(30));
    await connection.close();
    expect(await leftInSession()).toEqual([]);
  });
});

describe('acknowledgement', () => {
  it('waits for the handler: what it has not finished is redelivered to the next connection of the session', async () => {
    const stuck = collector(() => never);
    const first = open(stuck.handler);
    expect(await first.ready()).toEqual({ sessionPresent: false });
    opened = [];
    await publish(...numbers(10));
    await eventually(() => expect(first.unacknowledged).toBe(10));
    const seen = collector();
    const second = open(seen.handler);
    expect(await second.ready()).toEqual({ sessionPresent: true });
    await eventually(() => expect(seen.packets).toHaveLength(10));
    expect(seen.texts()).toEqual(numbers(10));
    expect(seen.packets.every(({ dup }) => dup)).toBe(true);
    await second.close();
    expect(await leftInSession()).toEqual([]);
  });

  it('covers what the handler has finished, and no more', async () => {
    const begun = gate();
    let calls = 0;
    const first = open(async () => {
      if (++calls === 1) return;
      begun.open();
      await never;
    });
    await first.ready();
    opened = [];
    await publish('finished');
    await eventually(() => expect([calls, first.unacknowledged]).toEqual([1, 0]));
    await publish('unfinished');
    await begun.passed;
    expect(await leftInSession()).toEqual(['unfinished']);
  });

  it('a connection that lost its session sends no PUBACK: the next one gets the packet again', async () => {
    const storing = gate();
    const slow = collector(() => storing.passed);
    const first = open(slow.handler);
    await first.ready();
    await publish('a');
    await eventually(() => expect(slow.packets).toHaveLength(1));
    const storingAgain = gate();
    const seen = collector(() => storingAgain.passed);
    const second = open(seen.handler);
    await second.ready();
    await eventually(() => expect(seen.texts()).toEqual(['a']));
    // The first handler ends late: its connection is over and acknowledges nothing.
    storing.open();
    await first.ended;
    expect(second.unacknowledged).toBe(1);
    storingAgain.open();
    await second.close();
    expect(await leftInSession()).toEqual([]);
  });

  it('keeps to the window, however much the broker sends', async () => {
    const window = 10;
    let most = 0;
    const inHand = gate();
    const begun = gate();
    const connection: IntakeConnection = open(
      async (batch) => {
        most = Math.max(most, connection.unacknowledged, batch.length);
        begun.open();
        await inHand.passed;
        most = Math.max(most, connection.unacknowledged);
      },
      { window, filters: [topic] },
    );
    await connection.ready();
    const watcher = await connectAsync(broker.url, { protocolVersion: 5 });
    let watched = 0;
    watcher.on('message', () => watched++);
    await watcher.subscribeAsync(topic, { qos: 0 });
    // Of QoS 0, which no receive maximum holds back: only the socket does.
    await Promise.all(numbers(500).map((text) => publisher.publishAsync(topic, text, { qos: 0 })));
    await publish(...numbers(50));
    await begun.passed;
    await eventually(() => expect(watched).toBe(550));
    await eventually(() => expect(connection.unacknowledged).toBe(window));
    inHand.open();
    await eventually(() => expect(connection.unacknowledged).toBe(0));
    expect(most).toBe(window);
    await watcher.endAsync();
  });

  it('goes on after the window was full', async () => {
    const seen = collector();
    await open(seen.handler, { window: 1 }).ready();
    await publish(...numbers(200));
    await eventually(() => expect(seen.packets).toHaveLength(200));
    expect(seen.texts()).toEqual(numbers(200));
    expect(Math.max(...seen.batches.map((batch) => batch.length))).toBe(1);
  });
});

describe('the end of a connection', () => {
  it('the end is "lost" if a handler fails, and its packets are redelivered', async () => {
    const failing = open(() => Promise.reject(new Error('the store is away')));
    await failing.ready();
    await publish('a', 'b');
    expect(await failing.ended).toBe('lost');
    const left = await leftInSession();
    expect(left.sort()).toEqual(['a', 'b']);
  });

  it('the end is "taken-over" if the broker reports a takeover', async () => {
    const fake = await fakeBroker((socket, packet) => {
      if (packet === CONNECT) socket.write(Buffer.from([...CONNACK, ...SESSION_TAKEN_OVER]));
    });
    const connection = open(() => Promise.resolve(), { url: fake.url });
    expect(await connection.ended).toBe('taken-over');
    await fake.stop();
  });

  it('the end comes at once if another connection opens the session, reported by the broker or not', async () => {
    const first = open(() => Promise.resolve());
    await first.ready();
    const second = open(() => Promise.resolve());
    expect(await second.ready()).toEqual({ sessionPresent: true });
    // Mosquitto 2.0 closes the connection without a word.
    expect(['taken-over', 'lost']).toContain(await first.ended);
    await publish('x');
    await expect(Promise.race([second.ended, Promise.resolve('open')])).resolves.toBe('open');
  });

  it('the end comes only when the current batch is stored, even if the session was taken over', async () => {
    const storing = gate();
    const begun = gate();
    const first = open(async () => {
      begun.open();
      await storing.passed;
    });
    await first.ready();
    await publish('a');
    await begun.passed;
    let over = false;
    void first.ended.then(() => {
      over = true;
    });
    const seen = collector();
    const second = open(seen.handler);
    await second.ready();
    await publish('b');
    await eventually(() => expect(seen.texts()).toEqual(['a', 'b']));
    expect(over).toBe(false);
    storing.open();
    await first.ended;
  });

  it('the end is "closed" if close was called, after the current batch was stored and acknowledged', async () => {
    const storing = gate();
    const begun = gate();
    const seen = collector(async () => {
      begun.open();
      await storing.passed;
    });
    const connection = open(seen.handler);
    await connection.ready();
    await publish('in hand');
    await begun.passed;
    const closing = connection.close();
    storing.open();
    await closing;
    expect(await connection.ended).toBe('closed');
    expect(seen.texts()).toEqual(['in hand']);
    expect(await leftInSession()).toEqual([]);
  });

  it('by closing under load loses nothing: what was not stored is left to the session', async () => {
    const stored: string[] = [];
    for (let round = 0; round < 5; round++) {
      const seen = collector(() => new Promise((resolve) => setImmediate(resolve)));
      const connection = open(seen.handler, { window: 20 });
      await connection.ready();
      const publishing = publish(...numbers(400, round * 400));
      await eventually(() => expect(seen.packets.length).toBeGreaterThan(30));
      await connection.close();
      expect(await connection.ended).toBe('closed');
      await publishing;
      stored.push(...seen.texts());
    }
    const left = await leftInSession();
    expect([...stored, ...left]).toEqual(numbers(2000));
    expect(left.length).toBeGreaterThan(0);
  });

  it('by closing while the window is full does not hang', async () => {
    const storing = gate();
    const connection = open(() => storing.passed, { window: 5 });
    await connection.ready();
    await publish(...numbers(300));
    await eventually(() => expect(connection.unacknowledged).toBe(5));
    const closing = connection.close();
    storing.open();
    await closing;
    expect(await connection.ended).toBe('closed');
  });

  it('close ends the connection even if the other side has just closed it or does not reply', async () => {
    const sockets: Socket[] = [];
    const fake = await fakeBroker((socket, packet, bytes) => {
      sockets.push(socket);
      if (packet === CONNECT) socket.write(Buffer.from(CONNACK));
      if (packet === SUBSCRIBE) socket.write(Buffer.from([0x90, 4, bytes[2] ?? 0, bytes[3] ?? 0, 0, 1]));
    });
    const silent = open(() => Promise.resolve(), { url: fake.url });
    await silent.ready();
    await silent.close();
    expect(await silent.ended).toBe('closed');
    const cut = open(() => Promise.resolve(), { url: fake.url });
    await cut.ready();
    sockets.at(-1)?.destroy();
    const ended = cut.ended.then(() => cut.close());
    await cut.close();
    await ended;
    await fake.stop();
  });

  it('by closing before it is connected comes without a word to the broker', async () => {
    const heard: Buffer[] = [];
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('data', (data) => heard.push(data)).on('error', () => socket.destroy());
    });
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    const connection = open(() => Promise.resolve(), { url: `mqtt://127.0.0.1:${port}` });
    await connection.close();
    expect(await connection.ended).toBe('closed');
    // Connections are accepted in order: everything the first one sent has been received before this one ends.
    const later = createConnection(port, '127.0.0.1');
    await new Promise((resolve) => later.once('connect', resolve));
    await new Promise<void>((resolve) => later.end(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
    expect(Buffer.concat(heard).toString('latin1')).toBe('');
  });

  it('by closing twice is closing once', async () => {
    const connection = open(() => Promise.resolve());
    await connection.ready();
    await Promise.all([connection.close(), connection.close()]);
    expect(await connection.ended).toBe('closed');
  });

  it('the end is "lost" if the broker goes away, and the connection does not reconnect by itself', async () => {
    const port = await freePort();
    const away = await startMosquitto({ port });
    const connection = open(() => Promise.resolve(), { url: away.url });
    await connection.ready();
    await away.stop();
    expect(await connection.ended).toBe('lost');
    const back = await startMosquitto({ port });
    const next = open(() => Promise.resolve(), { url: back.url });
    await next.ready();
    const watcher = await connectAsync(back.url, { protocolVersion: 5, clientId: 'watcher' });
    await watcher.endAsync();
    // Had the first one come back, it would have thrown out the second, which has its session.
    await expect(Promise.race([next.ended, Promise.resolve('open')])).resolves.toBe('open');
    await next.close();
    await back.stop();
  });

  it('the end is "lost" if the broker cannot be reached, and being ready fails', async () => {
    const connection = open(() => Promise.resolve(), { url: `mqtt://127.0.0.1:${await freePort()}` });
    await expect(connection.ready()).rejects.toThrow(/before it was ready/);
    expect(await connection.ended).toBe('lost');
  });
});

it('a session that retires ends though its broker falls silent then, and never closes', async () => {
  const sockets: Socket[] = [];
  // Half open: it does not close its side when the client has closed.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    const say = (packet: Packet): void => void socket.write(generate(packet, { protocolVersion: 5 }));
    const packets = parser({ protocolVersion: 5 }).on('packet', (packet: Packet) => {
      const messageId = packet.messageId ?? 0;
      if (packet.cmd === 'connect') say({ cmd: 'connack', sessionPresent: true, reasonCode: 0 });
      if (packet.cmd === 'unsubscribe') say({ cmd: 'unsuback', messageId, granted: [0] });
      if (packet.cmd === 'subscribe') say({ cmd: 'suback', messageId, granted: [1] });
      if (packet.cmd !== 'publish') return;
      say({ cmd: 'puback', messageId, reasonCode: 0 });
      say({ ...packet, messageId: 1 });
    });
    socket.on('data', (data) => packets.parse(data));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const connection = open(() => Promise.resolve(), { url: `mqtt://127.0.0.1:${port}` });
  await connection.retire();
  expect(await connection.ended).toBe('closed');
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => server.close(resolve));
});

describe('being ready', () => {
  it('being ready fails if the broker goes away before it has answered the subscription', async () => {
    const fake = await fakeBroker((socket, packet) => {
      if (packet === CONNECT) socket.write(Buffer.from(CONNACK));
      if (packet === SUBSCRIBE) socket.destroy();
    });
    const connection = open(() => Promise.resolve(), { url: fake.url });
    // Both must complete: the lane continues only after both.
    await expect(connection.ready()).rejects.toThrow();
    expect(await connection.ended).toBe('lost');
    await fake.stop();
  });

  it('being ready fails if the broker refuses the subscription', async () => {
    const fake = await fakeBroker((socket, packet, bytes) => {
      if (packet === CONNECT) socket.write(Buffer.from(CONNACK));
      // SUBACK with the packet's id, no properties, reason: not authorized.
      if (packet === SUBSCRIBE) socket.write(Buffer.from([0x90, 4, bytes[2] ?? 0, bytes[3] ?? 0, 0, 0x87]));
    });
    const connection = open(() => Promise.resolve(), { url: fake.url });
    await expect(connection.ready()).rejects.toThrow();
    await connection.close();
    await fake.stop();
  });
});

/**
 * What the intake relies on and MQTT.js does not document. Where one of these fails, MQTT.js has changed: look at its
 * handlers/publish and at the header of intake-connection.ts before anything else.
 */
describe('MQTT.js', () => {
  let client: MqttClient;
  let sent: Packet[];

  beforeEach(async () => {
    client = await connectAsync(broker.url, { protocolVersion: 5, clientId, clean: true, reconnectPeriod: 0 });
    sent = [];
    client.on('packetsend', (packet) => sent.push(packet));
    await client.subscribeAsync(topic, { qos: 1 });
  });

  afterEach(() => client.endAsync(true));

  function acknowledged(): (number | undefined)[] {
    return sent.filter(({ cmd }) => cmd === 'puback').map(({ messageId }) => messageId);
  }

  it('MQTT.js sends no PUBACK if handleMessage calls back with an error, reads on, and reports nothing', async () => {
    const seen: IPublishPacket[] = [];
    const errors: Error[] = [];
    client.on('error', (error) => errors.push(error));
    client.handleMessage = (packet, callback) => {
      seen.push(packet);
      callback(new Error('acknowledged later'));
    };
    await publish('a', 'b', 'c');
    await eventually(() => expect(seen).toHaveLength(3));
    expect(acknowledged()).toEqual([]);
    expect(errors).toEqual([]);
    expect(client.connected).toBe(true);
  });

  it('MQTT.js sends the PUBACK itself if handleMessage calls back without an error', async () => {
    client.handleMessage = (_packet, callback) => callback();
    await publish('a');
    await eventually(() => expect(acknowledged()).toHaveLength(1));
  });

  it('reads no further packet until handleMessage calls back', async () => {
    const seen: IPublishPacket[] = [];
    const callbacks: (() => void)[] = [];
    client.handleMessage = (packet, callback) => {
      seen.push(packet);
      callbacks.push(() => callback(new Error('acknowledged later')));
    };
    await publish('a', 'b');
    await eventually(() => expect(seen).toHaveLength(1));
    const watched = gate();
    const watcher = await connectAsync(broker.url, { protocolVersion: 5 });
    watcher.on('message', () => watched.open());
    await watcher.subscribeAsync(`${topic}/marker`);
    await publisher.publishAsync(`${topic}/marker`, 'x', { qos: 1 });
    await watched.passed;
    expect(seen).toHaveLength(1);
    callbacks[0]?.();
    await eventually(() => expect(seen).toHaveLength(2));
    await watcher.endAsync();
  });

  it('still has the private _sendPacket, which sends a PUBACK that the broker takes for one', async () => {
    const ids: number[] = [];
    client.handleMessage = (packet, callback) => {
      if (packet.messageId !== undefined) ids.push(packet.messageId);
      callback(new Error('acknowledged later'));
    };
    await publish('a', 'b');
    await eventually(() => expect(ids).toHaveLength(2));
    const { _sendPacket: send } = client as unknown as { _sendPacket: unknown };
    expect(typeof send).toBe('function');
    for (const messageId of ids)
      Reflect.apply(send as () => void, client, [{ cmd: 'puback', messageId, reasonCode: 0 }]);
    expect(acknowledged()).toEqual(ids);
    await publish('c');
    await eventually(() => expect(ids).toHaveLength(3));
    // The broker gives an id again only after it was acknowledged.
    expect(client.connected).toBe(true);
  });
});
