/** The contrary broker itself: each behaviour does what its name says, seen by a plain MQTT client. */
import { connect, connectAsync, type IClientOptions, type IPublishPacket, type MqttClient, type Packet } from 'mqtt';
import { ContraryBroker } from '../support/contrary-broker.js';
import { noSubscribersHidden } from '../support/contrary/acknowledgements.js';
import type { Behaviour } from '../support/contrary/behaviour.js';
import { FLASHMQ_LIMITS, granted } from '../support/contrary/connects.js';
import { dupDropped, newPacketIds } from '../support/contrary/redelivery.js';
import { RetainedHistory } from '../support/contrary/retained-late.js';
import { dropsInMidRead, lostRetained, pausesInMidRead } from '../support/contrary/retained-losses.js';
import { randomOrder, reversedOrder, sentinelAlwaysFirst, sentinelFirst } from '../support/contrary/retained-order.js';
import { retainStripped, silentAfter, topicOnOneMember } from '../support/contrary/shared-subscriptions.js';
import { Random, seedOfRun } from '../support/random.js';
import { eventually, startMosquitto, type Server } from '../support/servers.js';

const seed = seedOfRun();
const RETAINED = Array.from({ length: 8 }, (_, i) => `in/${i}`);
const SENTINEL = 'spec/sentinel';
const SHARED = '$share/group/live/+';

let mosquitto: Server;
let contrary: ContraryBroker;
/** A client that is connected to the real broker. */
let device: MqttClient;
let clients: MqttClient[];
let histories: RetainedHistory[];

beforeAll(async () => {
  mosquitto = await startMosquitto();
  device = await connectAsync(mosquitto.url, { protocolVersion: 5 });
  for (const topic of [...RETAINED, SENTINEL]) await device.publishAsync(topic, topic, { qos: 1, retain: true });
});

afterAll(async () => {
  await device.endAsync(true);
  await mosquitto.stop();
});

beforeEach(async () => {
  contrary = await ContraryBroker.before(mosquitto.port);
  [clients, histories] = [[], []];
});

afterEach(async () => {
  await Promise.all([...clients.map((client) => client.endAsync(true)), ...histories.map((one) => one.stop())]);
  await contrary.stop();
});

interface Reader {
  readonly client: MqttClient;
  readonly received: IPublishPacket[];
  readonly packets: Packet[];
}

/** Connects through the contrary broker, which has these behaviours. */
async function reader(behaviours: readonly Behaviour[], options: IClientOptions = {}): Promise<Reader> {
  contrary.behave(...behaviours);
  const packets: Packet[] = [];
  const received: IPublishPacket[] = [];
  // A resumed session may bring messages at once, so the handlers come first.
  const client = connect(contrary.url, { protocolVersion: 5, reconnectPeriod: 0, ...options });
  client.on('packetreceive', (packet) => packets.push(packet));
  client.on('message', (_topic, _payload, packet) => received.push(packet));
  clients.push(client);
  await new Promise<void>((resolve) => client.once('connect', () => resolve()));
  return { client, received, packets };
}

function topics({ received }: Reader): string[] {
  return received.map(({ topic }) => topic);
}

/** The topics that a read brings, if the sentinel has a SUBSCRIBE of its own. */
async function read(
  behaviours: readonly Behaviour[],
  filters: string[],
  count = RETAINED.length + 1,
): Promise<string[]> {
  const one = await reader(behaviours);
  await one.client.subscribeAsync(filters);
  await one.client.subscribeAsync(SENTINEL);
  return eventually('the read is complete', () => {
    expect(one.received).toHaveLength(count);
    return topics(one);
  });
}

describe('a contrary broker', () => {
  it('passes everything on as it is if it has no behaviour', async () => {
    expect(await read([], ['in/+'])).toEqual([...RETAINED, SENTINEL]);
  });

  it('sends the retained messages of a SUBSCRIBE in reverse order', async () => {
    expect(await read([reversedOrder], RETAINED)).toEqual([...RETAINED.toReversed(), SENTINEL]);
  });

  it('sends a sentinel with a SUBSCRIBE of its own before what matches a wildcard, and after exact topics', async () => {
    expect(await read([sentinelFirst], ['in/+'])).toEqual([SENTINEL, ...RETAINED.toReversed()]);
    expect(await read([sentinelFirst], RETAINED)).toEqual([...RETAINED.toReversed(), SENTINEL]);
  });

  it('sends the sentinel first whatever the SUBSCRIBEs are', async () => {
    expect(await read([sentinelAlwaysFirst], RETAINED)).toEqual([SENTINEL, ...RETAINED]);
  });

  it(`sends retained messages in an order of a seed (${seed}), and all of them`, async () => {
    const [first, again, other] = [
      await read([randomOrder(new Random(seed))], ['in/+']),
      await read([randomOrder(new Random(seed))], ['in/+']),
      await read([randomOrder(new Random(seed + 1))], ['in/+']),
    ];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    expect(first.toSorted()).toEqual([...RETAINED, SENTINEL].toSorted());
  });

  it('loses the retained message of a topic', async () => {
    expect(await read([lostRetained(SENTINEL)], ['in/+'], RETAINED.length)).toEqual(RETAINED);
  });

  it('drops messages behind the first ones of a large read', async () => {
    const few = await reader([dropsInMidRead(2, new Random(1))]);
    await few.client.subscribeAsync('in/+');
    await few.client.subscribeAsync(SENTINEL);
    await eventually('the sentinel comes', () => expect(topics(few)).toContain(SENTINEL));
    expect(topics(few).slice(0, 2)).toEqual(RETAINED.slice(0, 2));
    expect(few.received.length).toBeLessThan(RETAINED.length + 1);
  });

  it('pauses in the middle of a read', async () => {
    const pauses: number[] = [];
    const noted: Behaviour = () => ({
      onRead: (delivery) => {
        pauses.push(...delivery.steps.filter((step) => typeof step === 'number'));
        return delivery;
      },
    });
    expect(await read([pausesInMidRead(20, 3), noted], ['in/+'])).toEqual([...RETAINED, SENTINEL]);
    expect(pauses).toEqual([20, 20, 20]);
  });

  it('shows a reader a retained message late, or the message before it', async () => {
    await device.publishAsync('late/a', 'old', { qos: 1, retain: true });
    const [lasting, over] = [
      await RetainedHistory.of(mosquitto.url, 'late/+', 60_000),
      await RetainedHistory.of(mosquitto.url, 'late/+', 0),
    ];
    histories.push(lasting, over);
    await device.publishAsync('late/a', 'new', { qos: 1, retain: true });
    await device.publishAsync('late/b', 'new', { qos: 1, retain: true });
    await eventually('both changes are noted', () => expect(lasting.changed).toEqual(['late/a', 'late/b']));
    const textsOf = async (behaviour: Behaviour): Promise<string[]> => {
      const one = await reader([behaviour]);
      await one.client.subscribeAsync(['late/+', SENTINEL]);
      await eventually('the read is complete', () => expect(topics(one)).toContain(SENTINEL));
      return one.received.flatMap(({ topic, payload }) =>
        topic === SENTINEL ? [] : [`${topic}=${payload.toString()}`],
      );
    };
    expect(await textsOf(lasting.late)).toEqual([]);
    expect(await textsOf(lasting.stale)).toEqual(['late/a=old']);
    expect(await textsOf(over.late)).toEqual(['late/a=new', 'late/b=new']);
    expect(await textsOf(over.stale)).toEqual(['late/a=new', 'late/b=new']);
  });

  it('strips the retain flag from what comes by a shared subscription, and from nothing else', async () => {
    const one = await reader([retainStripped()]);
    await one.client.subscribeAsync({
      [SHARED]: { qos: 1, rap: true, rh: 2 },
      'plain/+': { qos: 1, rap: true, rh: 2 },
    });
    await device.publishAsync('live/a', 'a', { qos: 1, retain: true });
    await device.publishAsync('plain/a', 'a', { qos: 1, retain: true });
    await eventually('both messages come', () =>
      expect(one.received.map(({ topic, retain }) => [topic, retain])).toEqual([
        ['live/a', false],
        ['plain/a', true],
      ]),
    );
  });

  it('falls silent on a shared subscription until the connection ends, once', async () => {
    const behaviour = silentAfter(1, 1);
    const options: IClientOptions = {
      clientId: 'silent',
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    };
    const one = await reader([behaviour], options);
    await one.client.subscribeAsync({ [SHARED]: { qos: 1, rh: 2 }, plain: { qos: 1 } });
    for (const topic of ['live/a', 'live/b', 'plain']) await device.publishAsync(topic, topic, { qos: 1 });
    await eventually('the plain message comes', () => expect(topics(one)).toEqual(['live/a', 'plain']));
    await one.client.endAsync(true);
    const again = await reader([behaviour], options);
    await again.client.subscribeAsync({ [SHARED]: { qos: 1, rh: 2 } });
    await eventually('the missing message comes', () => expect(topics(again)).toContain('live/b'));
  });

  it('gives the messages of a topic to one member of a share group, and deals the others', async () => {
    const behaviour = topicOnOneMember('live/kept', (clientId) => clientId === 'member-a');
    const [a, b] = [
      await reader([behaviour], { clientId: 'member-a' }),
      await reader([behaviour], { clientId: 'member-b' }),
    ];
    // A share group of its own: the session of another test is still a member of the other one, and would get its share.
    for (const { client } of [a, b]) await client.subscribeAsync({ '$share/members/live/+': { qos: 1, rh: 2 } });
    for (let i = 0; i < 10; i++) {
      await device.publishAsync('live/kept', `${i}`, { qos: 1 });
      await device.publishAsync(`live/${i}`, '', { qos: 1 });
    }
    const kept = (one: typeof a): string[] =>
      one.received.flatMap(({ topic, payload }) => (topic === 'live/kept' ? [payload.toString()] : []));
    await eventually('all messages come', () => expect(a.received.length + b.received.length).toBe(20));
    expect(kept(b)).toEqual([]);
    expect(kept(a)).toHaveLength(10);
  });

  it('hides that a message has no subscribers', async () => {
    const codes: unknown[] = [];
    for (const behaviours of [[], [noSubscribersHidden]]) {
      const { client, packets } = await reader(behaviours);
      await client.publishAsync('nobody/listens', 'x', { qos: 1 });
      codes.push(packets.flatMap((packet) => (packet.cmd === 'puback' ? [packet.reasonCode ?? 0] : [])));
    }
    expect(codes).toEqual([[0x10], [0]]);
  });

  it.each<[string, string, readonly Behaviour[]]>([
    ['with the same packet id', 'same', [dupDropped]],
    ['with another packet id', 'new', [dupDropped, newPacketIds(new Random(seed))]],
  ])('redelivers without the DUP flag and %s, and passes the PUBACK of that id on', async (_, id, behaviours) => {
    const topic = `redelivered/${id}`;
    const options: IClientOptions = {
      clientId: `redelivered-${id}`,
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    };
    const deliveries: IPublishPacket[] = [];
    // Sends no PUBACK in the first connection.
    const { client } = await reader(behaviours, options);
    client.handleMessage = (packet, done) => {
      deliveries.push(packet);
      done(new Error('not acknowledged'));
    };
    await client.subscribeAsync(topic, { qos: 1 });
    await device.publishAsync(topic, 'x', { qos: 1 });
    await eventually('the message comes', () => expect(deliveries).toHaveLength(1));
    await client.endAsync(true);
    const { received } = await reader(behaviours, options);
    await device.publishAsync(topic, 'y', { qos: 1 });
    await eventually('the message comes again', () =>
      expect(received.map(({ payload }) => payload.toString())).toEqual(['x', 'y']),
    );
    expect(received.map(({ dup }) => dup)).toEqual([false, false]);
    expect(received[0]?.messageId === deliveries[0]?.messageId ? 'same' : 'new').toBe(id);
    await Promise.all(clients.map((one) => one.endAsync(true)));
    const after = await reader([], options);
    await device.publishAsync(topic, 'z', { qos: 1 });
    await eventually('only the last message comes', () =>
      expect(after.received.map(({ payload }) => payload.toString())).toEqual(['z']),
    );
  });

  it('grants what it is set to, and ends a connection that exceeds the receive maximum', async () => {
    contrary.behave(granted(FLASHMQ_LIMITS));
    const connacks: Packet[] = [];
    const client = await connectAsync(contrary.url, { protocolVersion: 5, reconnectPeriod: 10 });
    clients.push(client);
    client.on('packetreceive', (packet) => packet.cmd === 'connack' && connacks.push(packet));
    contrary.cut();
    await eventually('the client is connected again', () =>
      expect(connacks).toMatchObject([{ properties: { receiveMaximum: 512, sessionExpiryInterval: 1_209_600 } }]),
    );
    const { client: eager, packets } = await reader([granted({ receiveMaximum: 1 })]);
    // Writes past the flow control of MQTT.js.
    eager.stream.write(Buffer.from([1, 2].flatMap((messageId) => [0x32, 6, 0, 1, 0x61, 0, messageId, 0])));
    await eventually('the broker disconnects the client', () =>
      expect(packets).toContainEqual(expect.objectContaining({ cmd: 'disconnect', reasonCode: 0x93 })),
    );
  });
});
