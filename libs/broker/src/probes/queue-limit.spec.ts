import { connect } from 'mqtt';
import type { IPublishPacket } from 'mqtt-packet';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import type { Behaviour } from '../../../../test/support/contrary/behaviour.js';
import { gate, startMosquitto, type ServerProcess } from '../../../../test/support/servers.js';
import { measureQueueLimit } from './queue-limit.js';

let limited: ServerProcess;
let mosquitto: ServerProcess;

beforeAll(async () => {
  [limited, mosquitto] = await Promise.all([
    startMosquitto({ config: ['max_queued_messages 300'] }),
    startMosquitto({ config: ['max_queued_messages 0'] }),
  ]);
});

afterAll(() => Promise.all([limited.stop(), mosquitto.stop()]));

/** Whether the broker has a session of this client, which it keeps. */
async function hasSession(clientId: string): Promise<boolean> {
  const properties = { sessionExpiryInterval: 60 };
  const client = connect(mosquitto.url, { clientId, protocolVersion: 5, clean: false, properties });
  const isPresent = await new Promise<boolean>((resolve) => {
    client.once('connect', ({ sessionPresent }) => resolve(sessionPresent));
  });
  await client.endAsync();
  return isPresent;
}

function isMarker({ topic }: IPublishPacket): boolean {
  return topic.endsWith('/queue/marker');
}

/** Delivers what comes behind so many messages only when a marker is published. */
function lateBehind(messages: number): Behaviour {
  const late: (() => void)[] = [];
  let passed = 0;
  return () => ({
    fromClient: {
      publish: (packet, pass) => {
        if (isMarker(packet)) {
          passed = -Infinity;
          for (const deliver of late.splice(0)) deliver();
        }
        pass(packet);
      },
    },
    fromBroker: {
      publish: (packet, pass) => {
        if (++passed > messages) late.push(() => pass(packet));
        else pass(packet);
      },
    },
  });
}

describe('measureQueueLimit', () => {
  it('counts what the broker keeps for an absent session', async () => {
    expect(await measureQueueLimit({ url: limited.url })).toBe(300);
  });

  it('returns null if the broker keeps everything', async () => {
    expect(await measureQueueLimit({ url: mosquitto.url })).toBeNull();
  });

  it.each([
    ['keeps everything', () => mosquitto, null],
    ['has a limit', () => limited, 300],
  ])('waits for what is late, however long it takes, if the broker %s', async (_, broker, expected) => {
    const contrary = await ContraryBroker.before(broker().port, lateBehind(100));
    expect(await measureQueueLimit({ url: contrary.url })).toBe(expected);
    await contrary.stop();
  });

  it('publishes another marker if the broker drops one, as one with a full queue does', async () => {
    const markers: string[] = [];
    const droppingFirst: Behaviour = (link) => ({
      fromBroker: {
        publish: (packet, pass) => {
          if (isMarker(packet)) markers.push(packet.payload.toString());
          const { messageId } = packet;
          if (markers.length !== 1) pass(packet);
          else if (messageId !== undefined) link.toBroker({ cmd: 'puback', messageId, reasonCode: 0 });
        },
      },
    });
    const contrary = await ContraryBroker.before(limited.port, droppingFirst);
    expect(await measureQueueLimit({ url: contrary.url })).toBe(300);
    expect(markers.length).toBeGreaterThan(2);
    await contrary.stop();
  });

  it('finds no limit in a session that the broker no longer has', async () => {
    const contrary = await ContraryBroker.before(mosquitto.port, () => ({
      fromBroker: { connack: (packet, pass) => pass({ ...packet, sessionPresent: false }) },
    }));
    await expect(measureQueueLimit({ url: contrary.url })).rejects.toThrow('the broker no longer has the session');
    await contrary.stop();
  });

  it('ends its session if it is aborted in the middle', async () => {
    const clientIds: string[] = [];
    const publishing = gate();
    const withoutPublishes: Behaviour = ({ clientId }) => {
      clientIds.push(clientId);
      return { fromClient: { publish: () => publishing.open() } };
    };
    const contrary = await ContraryBroker.before(mosquitto.port, withoutPublishes);
    const aborting = new AbortController();
    const measured = measureQueueLimit({ url: contrary.url }, aborting.signal);
    await publishing.passed;
    const [laneId = ''] = clientIds;
    expect(await hasSession(laneId)).toBe(true);
    aborting.abort();
    await expect(measured).rejects.toThrow('not measured in time');
    expect(await hasSession(laneId)).toBe(false);
    await contrary.stop();
  });
});
