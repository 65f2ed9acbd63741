import { connectAsync } from 'mqtt';
import { PacketCollector, numbers, withIntake, type Intake } from '../../../test/support/intake.js';
import { eventually, gate } from '../../../test/support/servers.js';
import type { IntakeConnection } from './intake-connection.js';

let intake: Intake;

withIntake((begun) => (intake = begun));

const never = new Promise<void>(() => undefined);

describe('IntakeConnection, receiving packets', () => {
  it('passes 5,000 packets to a slow handler in the order of their arrival', async () => {
    let calls = 0;
    const seen = new PacketCollector(async () => {
      // Pauses of different lengths make batches of different sizes.
      for (let i = 0; i < calls % 7; i++) await new Promise((resolve) => setImmediate(resolve));
      calls++;
    });
    const connection = intake.open(seen.handler, { window: 200 });
    await connection.ready();
    await intake.publish(...numbers(5000));
    await eventually('the handler receives all packets', () => expect(seen.packets).toHaveLength(5000));
    expect(seen.texts).toEqual(numbers(5000));
    expect(seen.packets.some(({ dup }) => dup)).toBe(false);
    expect(seen.batches.length).toBeGreaterThan(1);
    await connection.close();
    expect(await intake.leftInSession()).toEqual([]);
  });

  it('calls the handler for one batch at a time', async () => {
    let running = 0;
    let most = 0;
    const seen = new PacketCollector(async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
    });
    await intake.open(seen.handler).ready();
    for (let i = 0; i < 10; i++) await intake.publish(...numbers(50, i * 50));
    await eventually('the handler receives all packets', () => expect(seen.packets).toHaveLength(500));
    expect(most).toBe(1);
  });

  it('passes the queued packets of a session to the handler in large batches', async () => {
    const first = intake.open(() => Promise.resolve());
    await first.ready();
    await first.close();
    const texts = numbers(3000).map((text) => text.padEnd(2000, '.'));
    await intake.publish(...texts);
    const seen = new PacketCollector();
    const connection = intake.open(seen.handler, { window: 5000 });
    expect(await connection.ready()).toEqual({ sessionPresent: true });
    await eventually('the handler receives all packets', () => expect(seen.packets).toHaveLength(3000));
    expect(seen.texts).toEqual(texts);
    expect(Math.max(...seen.batches.map((batch) => batch.length))).toBeGreaterThan(50);
    await connection.close();
    expect(await intake.leftInSession()).toEqual([]);
  });

  it('passes packets of several hundred kilobytes whole', async () => {
    const seen = new PacketCollector();
    await intake.open(seen.handler).ready();
    const texts = numbers(8).map((text) => text.repeat(300_000));
    await intake.publish(...texts);
    await eventually('the handler receives all packets', () => expect(seen.packets).toHaveLength(8));
    expect(seen.texts).toEqual(texts);
  });

  it('passes topic, payload bytes and retain flag as they were published', async () => {
    const { publisher, topic } = intake;
    const seen = new PacketCollector();
    await intake.open(seen.handler, { filters: [`$share/group/${topic}/+`] }).ready();
    const bytes = Buffer.from([0, 255, 254, 1]);
    await publisher.publishAsync(`${topic}/a`, bytes, { qos: 1, retain: true });
    await publisher.publishAsync(`${topic}/b`, 'x', { qos: 1 });
    await publisher.publishAsync(`${topic}/a`, '', { qos: 1, retain: true });
    await eventually('the handler receives all packets', () => expect(seen.packets).toHaveLength(3));
    expect(seen.packets).toEqual([
      expect.objectContaining({ topic: `${topic}/a`, payload: bytes, retain: true, dup: false }),
      expect.objectContaining({ topic: `${topic}/b`, payload: Buffer.from('x'), retain: false, dup: false }),
      expect.objectContaining({ topic: `${topic}/a`, payload: Buffer.alloc(0), retain: true, dup: false }),
    ]);
  });

  it.each(['$share/group/', ''])(
    'receives no message that was retained before it subscribed to a filter with the prefix "%s"',
    async (prefix) => {
      const { publisher, topic } = intake;
      await publisher.publishAsync(topic, 'retained', { qos: 1, retain: true });
      const seen = new PacketCollector();
      await intake.open(seen.handler, { filters: [prefix + topic] }).ready();
      await intake.publish('live');
      await eventually('the live message is received', () => expect(seen.texts).toContain('live'));
      expect(seen.texts).toEqual(['live']);
      await publisher.publishAsync(topic, '', { qos: 1, retain: true });
    },
  );

  it('passes packets of QoS 0 between those of QoS 1, without acknowledging them', async () => {
    const seen = new PacketCollector();
    const connection = intake.open(seen.handler, { window: 3 });
    await connection.ready();
    for (let i = 0; i < 30; i++) await intake.publisher.publishAsync(intake.topic, `${i}`, { qos: i % 2 ? 1 : 0 });
    await eventually('the handler receives all packets', () => expect(seen.packets).toHaveLength(30));
    expect(seen.texts).toEqual(numbers(30));
    await connection.close();
    expect(await intake.leftInSession()).toEqual([]);
  });
});

describe('IntakeConnection, acknowledging packets', () => {
  it('acknowledges nothing before the handler resolves, so that the next connection gets the packets again', async () => {
    const stuck = new PacketCollector(() => never);
    const first = intake.openStuck(stuck.handler);
    expect(await first.ready()).toEqual({ sessionPresent: false });
    await intake.publish(...numbers(10));
    await eventually('ten packets are received', () => expect(first.unacknowledged).toBe(10));
    const seen = new PacketCollector();
    const second = intake.open(seen.handler);
    expect(await second.ready()).toEqual({ sessionPresent: true });
    await eventually('ten packets are redelivered', () => expect(seen.packets).toHaveLength(10));
    expect(seen.texts).toEqual(numbers(10));
    expect(seen.packets.every(({ dup }) => dup)).toBe(true);
    await second.close();
    expect(await intake.leftInSession()).toEqual([]);
  });

  it('acknowledges exactly the batches that the handler has stored', async () => {
    const begun = gate();
    let calls = 0;
    const first = intake.openStuck(async () => {
      if (++calls === 1) return;
      begun.open();
      await never;
    });
    await first.ready();
    await intake.publish('finished');
    await eventually('the first packet is stored and acknowledged', () =>
      expect([calls, first.unacknowledged]).toEqual([1, 0]),
    );
    await intake.publish('unfinished');
    await begun.passed;
    expect(await intake.leftInSession()).toEqual(['unfinished']);
  });

  it('sends no PUBACK after it lost its session: the next connection gets the packet again', async () => {
    const storing = gate();
    const slow = new PacketCollector(() => storing.passed);
    const first = intake.open(slow.handler);
    await first.ready();
    await intake.publish('a');
    await eventually('the first connection receives the packet', () => expect(slow.packets).toHaveLength(1));
    const storingAgain = gate();
    const seen = new PacketCollector(() => storingAgain.passed);
    const second = intake.open(seen.handler);
    await second.ready();
    await eventually('the second connection receives the packet', () => expect(seen.texts).toEqual(['a']));
    // The handler of the first connection resolves after the connection has ended.
    storing.open();
    await first.ended;
    expect(second.unacknowledged).toBe(1);
    storingAgain.open();
    await second.close();
    expect(await intake.leftInSession()).toEqual([]);
  });

  it('never has more packets unacknowledged than its window, however many the broker sends', async () => {
    const { broker, publisher, topic } = intake;
    const window = 10;
    let most = 0;
    const mayStore = gate();
    const begun = gate();
    const connection: IntakeConnection = intake.open(
      async (batch) => {
        most = Math.max(most, connection.unacknowledged, batch.length);
        begun.open();
        await mayStore.passed;
        most = Math.max(most, connection.unacknowledged);
      },
      { window, filters: [topic] },
    );
    await connection.ready();
    const watcher = await connectAsync(broker.url, { protocolVersion: 5 });
    let watched = 0;
    watcher.on('message', () => watched++);
    await watcher.subscribeAsync(topic, { qos: 0 });
    // At QoS 0 no receive maximum applies: only the unread socket holds the broker back.
    await Promise.all(numbers(500).map((text) => publisher.publishAsync(topic, text, { qos: 0 })));
    await intake.publish(...numbers(50));
    await begun.passed;
    await eventually('the broker has sent all messages to the other subscriber', () => expect(watched).toBe(550));
    await eventually('the window is full', () => expect(connection.unacknowledged).toBe(window));
    mayStore.open();
    await eventually('all packets are acknowledged', () => expect(connection.unacknowledged).toBe(0));
    expect(most).toBe(window);
    await watcher.endAsync();
  });

  it('continues to read when its window has room again', async () => {
    const seen = new PacketCollector();
    await intake.open(seen.handler, { window: 1 }).ready();
    await intake.publish(...numbers(200));
    await eventually('the handler receives all packets', () => expect(seen.packets).toHaveLength(200));
    expect(seen.texts).toEqual(numbers(200));
    expect(Math.max(...seen.batches.map((batch) => batch.length))).toBe(1);
  });
});
