import { createConnection } from 'node:net';
import { connectAsync, type Packet } from 'mqtt';
import { generate, parser } from 'mqtt-packet';
import {
  CONNACK,
  CONNECT,
  FakeBroker,
  PacketCollector,
  SESSION_TAKEN_OVER,
  SUBSCRIBE,
  numbers,
  suback,
  withIntake,
  type Intake,
} from '../../../test/support/intake.js';
import { eventually, freePort, gate, startMosquitto } from '../../../test/support/servers.js';

let intake: Intake;

withIntake((begun) => (intake = begun));

const ignore = (): Promise<void> => Promise.resolve();

describe('IntakeConnection.ended', () => {
  it('is "failed" if the handler fails, and the broker redelivers its packets', async () => {
    const failing = intake.open(() => Promise.reject(new Error('the store is away')));
    await failing.ready();
    await intake.publish('a', 'b');
    expect(await failing.ended).toBe('failed');
    const left = await intake.leftInSession();
    expect(left.sort()).toEqual(['a', 'b']);
  });

  it('is "taken-over" if the broker reports a take-over', async () => {
    const fake = await FakeBroker.start((socket, packet) => {
      if (packet === CONNECT) socket.write(Buffer.from([...CONNACK, ...SESSION_TAKEN_OVER]));
    });
    const connection = intake.open(ignore, { url: fake.url });
    expect(await connection.ended).toBe('taken-over');
    await fake.stop();
  });

  it('resolves at once if another connection opens the session, whether the broker reports it or not', async () => {
    const first = intake.open(ignore);
    await first.ready();
    const second = intake.open(ignore);
    expect(await second.ready()).toEqual({ sessionPresent: true });
    // Mosquitto 2.0 closes the connection without a DISCONNECT.
    expect(['taken-over', 'lost']).toContain(await first.ended);
    await intake.publish('x');
    await expect(Promise.race([second.ended, Promise.resolve('open')])).resolves.toBe('open');
  });

  it('resolves only when the current batch is stored, even if the session was taken over', async () => {
    const storing = gate();
    const begun = gate();
    const first = intake.open(async () => {
      begun.open();
      await storing.passed;
    });
    await first.ready();
    await intake.publish('a');
    await begun.passed;
    let isEnded = false;
    void first.ended.then(() => {
      isEnded = true;
    });
    const seen = new PacketCollector();
    const second = intake.open(seen.handler);
    await second.ready();
    await intake.publish('b');
    await eventually('the second connection receives both packets', () => expect(seen.texts).toEqual(['a', 'b']));
    expect(isEnded).toBe(false);
    storing.open();
    await first.ended;
  });

  it('is "lost" if the broker stops, and the connection does not reconnect', async () => {
    const port = await freePort();
    const stopped = await startMosquitto({ port });
    const connection = intake.open(ignore, { url: stopped.url });
    await connection.ready();
    await stopped.stop();
    expect(await connection.ended).toBe('lost');
    const back = await startMosquitto({ port });
    const next = intake.open(ignore, { url: back.url });
    await next.ready();
    const watcher = await connectAsync(back.url, { protocolVersion: 5, clientId: 'watcher' });
    await watcher.endAsync();
    // A reconnect of the first connection would take the session over from the second one.
    await expect(Promise.race([next.ended, Promise.resolve('open')])).resolves.toBe('open');
    await next.close();
    await back.stop();
  });

  it('is "lost" if the broker cannot be reached, and ready rejects', async () => {
    const connection = intake.open(ignore, { url: `mqtt://127.0.0.1:${await freePort()}` });
    await expect(connection.ready()).rejects.toThrow(/before it was ready/);
    expect(await connection.ended).toBe('lost');
  });
});

describe('IntakeConnection.close', () => {
  it('stores and acknowledges the current batch first, and ends the connection as "closed"', async () => {
    const storing = gate();
    const begun = gate();
    const seen = new PacketCollector(async () => {
      begun.open();
      await storing.passed;
    });
    const connection = intake.open(seen.handler);
    await connection.ready();
    await intake.publish('current');
    await begun.passed;
    const closing = connection.close();
    storing.open();
    await closing;
    expect(await connection.ended).toBe('closed');
    expect(seen.texts).toEqual(['current']);
    expect(await intake.leftInSession()).toEqual([]);
  });

  it('loses nothing under load: what was not stored stays in the session', async () => {
    const stored: string[] = [];
    for (let round = 0; round < 5; round++) {
      const seen = new PacketCollector(() => new Promise((resolve) => setImmediate(resolve)));
      const connection = intake.open(seen.handler, { window: 20 });
      await connection.ready();
      const publishing = intake.publish(...numbers(400, round * 400));
      await eventually('the load has begun', () => expect(seen.packets.length).toBeGreaterThan(30));
      await connection.close();
      expect(await connection.ended).toBe('closed');
      await publishing;
      stored.push(...seen.texts);
    }
    const left = await intake.leftInSession();
    expect([...stored, ...left]).toEqual(numbers(2000));
    expect(left.length).toBeGreaterThan(0);
  });

  it('does not hang if the window is full', async () => {
    const storing = gate();
    const connection = intake.open(() => storing.passed, { window: 5 });
    await connection.ready();
    await intake.publish(...numbers(300));
    await eventually('the window is full', () => expect(connection.unacknowledged).toBe(5));
    const closing = connection.close();
    storing.open();
    await closing;
    expect(await connection.ended).toBe('closed');
  });

  it('ends the connection also if the broker has just closed it or does not reply', async () => {
    const fake = await FakeBroker.start((socket, packet, bytes) => {
      if (packet === CONNECT) socket.write(Buffer.from(CONNACK));
      if (packet === SUBSCRIBE) socket.write(suback(bytes, 1));
    });
    const silent = intake.open(ignore, { url: fake.url });
    await silent.ready();
    await silent.close();
    expect(await silent.ended).toBe('closed');
    const cut = intake.open(ignore, { url: fake.url });
    await cut.ready();
    fake.sockets.at(-1)?.destroy();
    const ended = cut.ended.then(() => cut.close());
    await cut.close();
    await ended;
    await fake.stop();
  });

  it('sends no byte to the broker before the connection is open', async () => {
    const received: Buffer[] = [];
    const fake = await FakeBroker.start((_socket, _packet, bytes) => received.push(bytes));
    const connection = intake.open(ignore, { url: fake.url });
    await connection.close();
    expect(await connection.ended).toBe('closed');
    // The server accepts connections in order: when this one ends, it has received all bytes of the first one.
    const later = createConnection(fake.port, '127.0.0.1');
    await new Promise((resolve) => later.once('connect', resolve));
    await new Promise<void>((resolve) => later.end(() => resolve()));
    await fake.stop();
    expect(Buffer.concat(received).toString('latin1')).toBe('');
  });

  it('may be called twice', async () => {
    const connection = intake.open(ignore);
    await connection.ready();
    await Promise.all([connection.close(), connection.close()]);
    expect(await connection.ended).toBe('closed');
  });
});

describe('IntakeConnection.retire', () => {
  it('ends the connection although the broker falls silent after the last message and never closes its side', async () => {
    const packets = parser({ protocolVersion: 5 });
    // With `allowHalfOpen`, it does not close its side when the client has closed.
    const fake = await FakeBroker.start((_socket, _packet, bytes) => packets.parse(bytes), { allowHalfOpen: true });
    const reply = (packet: Packet): void => void fake.sockets.at(-1)?.write(generate(packet, { protocolVersion: 5 }));
    packets.on('packet', (packet: Packet) => {
      const messageId = packet.messageId ?? 0;
      if (packet.cmd === 'connect') reply({ cmd: 'connack', sessionPresent: true, reasonCode: 0 });
      if (packet.cmd === 'unsubscribe') reply({ cmd: 'unsuback', messageId, granted: [0] });
      if (packet.cmd === 'subscribe') reply({ cmd: 'suback', messageId, granted: [1] });
      if (packet.cmd !== 'publish') return;
      reply({ cmd: 'puback', messageId, reasonCode: 0 });
      reply({ ...packet, messageId: 1 });
    });
    const connection = intake.open(ignore, { url: fake.url });
    await connection.retire();
    expect(await connection.ended).toBe('closed');
    await fake.stop();
  });
});

describe('IntakeConnection.ready', () => {
  it('rejects if the broker closes the connection before it sends the SUBACK', async () => {
    const fake = await FakeBroker.start((socket, packet) => {
      if (packet === CONNECT) socket.write(Buffer.from(CONNACK));
      if (packet === SUBSCRIBE) socket.destroy();
    });
    const connection = intake.open(ignore, { url: fake.url });
    // The lane continues only after both.
    await expect(connection.ready()).rejects.toThrow();
    expect(await connection.ended).toBe('lost');
    await fake.stop();
  });

  it('rejects with the refused filter and the remedy if the broker refuses the subscription', async () => {
    const fake = await FakeBroker.start((socket, packet, bytes) => {
      if (packet === CONNECT) socket.write(Buffer.from(CONNACK));
      // Not authorized.
      if (packet === SUBSCRIBE) socket.write(suback(bytes, 0x87));
    });
    const connection = intake.open(ignore, { url: fake.url });
    await expect(connection.ready()).rejects.toThrow('the broker refused the subscription to $share/group/');
    await connection.close();
    await fake.stop();
  });
});
