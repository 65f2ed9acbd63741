import { connectAsync, type MqttClient } from 'mqtt';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import { eventually, freePort, gate, quiet, startMosquitto, type Server } from '../../../../test/support/servers.js';
import { Lane, type LanePurpose } from './lane.js';

const GRANT: Grant = { kind: 'lane', index: 0, epoch: 1, fence: '1:boot' };

let broker: Server;
let publisher: MqttClient;
let lanes: Lane[];
let cases = 0;
let topic: string;
let stored: string[];
let asked: number;
let lost: Grant[];
let retired: number[];
let connects: { sessionPresent: boolean; again: boolean }[];

beforeAll(async () => {
  broker = await startMosquitto();
  publisher = await connectAsync(broker.url, { protocolVersion: 5 });
});

afterAll(async () => {
  await publisher.endAsync();
  await broker.stop();
});

beforeEach(() => {
  lanes = [];
  topic = `in/${cases++}`;
  stored = [];
  asked = 0;
  lost = [];
  retired = [];
  connects = [];
});

afterEach(async () => {
  await Promise.all(lanes.map((lane) => lane.stop()));
});

function start({
  url = broker.url,
  held = () => Promise.resolve(true),
  isStale = false,
  purpose = 'serve',
  readyMs = 10_000,
}: {
  url?: string;
  held?: () => Promise<boolean>;
  isStale?: boolean;
  purpose?: LanePurpose;
  readyMs?: number;
} = {}): Lane {
  const lane = new Lane(
    GRANT,
    purpose,
    { url, clientId: `lane of ${topic}`, filters: [`$share/group/${topic}`], templates: [], window: 100, readyMs },
    {
      write: (packets) => {
        if (isStale) return Promise.reject(new StaleOwnerError(GRANT));
        stored.push(...packets.map(({ payload }) => payload.toString()));
        return Promise.resolve();
      },
    },
    {
      connected: (about) => void connects.push(about),
      retired: (index) => Promise.resolve(void retired.push(index)),
    },
    {
      confirm: () => {
        asked++;
        return held();
      },
      lost: (grant) => lost.push(grant),
    },
    quiet,
  );
  lanes.push(lane);
  lane.start();
  return lane;
}

/** Takes the lane's session, as another process would, and lets it go. */
async function takeSession(): Promise<void> {
  const other = await connectAsync(broker.url, {
    protocolVersion: 5,
    clientId: `lane of ${topic}`,
    clean: false,
    reconnectPeriod: 0,
    properties: { sessionExpiryInterval: 3600 },
  });
  await other.endAsync();
}

function publish(text: string): Promise<unknown> {
  return publisher.publishAsync(topic, text, { qos: 1 });
}

describe('Lane', () => {
  it('asks whether it still holds its grant before it connects', async () => {
    const answer = gate<boolean>();
    const lane = start({ held: () => answer.passed });
    await eventually(() => expect(asked).toBe(1));
    expect(lane.connected).toBe(false);
    answer.open(true);
    await eventually(() => expect(lane.connected).toBe(true));
    expect(asked).toBe(1);
  });

  it('never connects if it does not hold its grant', async () => {
    const lane = start({ held: () => Promise.resolve(false) });
    await lane.stop();
    expect(asked).toBe(1);
    expect(lane.connected).toBe(false);
    // Nobody has subscribed for the group: the broker says so.
    const answers: unknown[] = [];
    publisher.on('packetreceive', (packet) => answers.push(packet));
    await publish('unheard');
    publisher.removeAllListeners('packetreceive');
    expect(answers).toContainEqual(expect.objectContaining({ cmd: 'puback', reasonCode: 0x10 }));
  });

  it('asks again after another connection took its session, and goes on if it holds the grant', async () => {
    const lane = start();
    await eventually(() => expect(lane.connected).toBe(true));
    await takeSession();
    await eventually(() => expect(asked).toBe(2));
    await eventually(() => expect(lane.connected).toBe(true));
    await publish('after');
    await eventually(() => expect(stored).toEqual(['after']));
    expect(lost).toEqual([]);
  });

  it('leaves the session to the connection that took it if it does not hold the grant any more', async () => {
    let holds = true;
    const lane = start({ held: () => Promise.resolve(holds) });
    await eventually(() => expect(lane.connected).toBe(true));
    holds = false;
    await takeSession();
    await eventually(() => expect(asked).toBe(2));
    await lane.stop();
    expect(lane.connected).toBe(false);
  });

  it('reports its grant lost, and stops, when the mailbox writer rejects a batch with StaleOwnerError', async () => {
    start({ isStale: true });
    const lane = lanes[0];
    await eventually(() => expect(lane?.connected).toBe(true));
    await publish('late');
    await eventually(() => expect(lost).toEqual([GRANT]));
    await lane?.stop();
    expect(asked).toBe(1);
    expect(stored).toEqual([]);
  });

  it('is connected again after the broker has refused it for a while', async () => {
    const contrary = await ContraryBroker.before(broker.port);
    contrary.refuse();
    const lane = start({ url: contrary.url });
    await eventually(() => expect(contrary.refused).toBeGreaterThan(1));
    expect(lane.connected).toBe(false);
    contrary.accept();
    await eventually(() => expect(lane.connected).toBe(true));
    await publish('after');
    await eventually(() => expect(stored).toEqual(['after']));
    await lane.stop();
    await contrary.stop();
  });

  it('connects again if the broker does not answer its subscription', async () => {
    const contrary = await ContraryBroker.before(broker.port);
    contrary.withholdSubacks(2);
    const lane = start({ url: contrary.url, readyMs: 200 });
    await eventually(() => expect(asked).toBeGreaterThan(2));
    await eventually(() => expect(lane.connected).toBe(true));
    await publish('after');
    await eventually(() => expect(stored).toEqual(['after']));
    await lane.stop();
    await contrary.stop();
  });

  it('tries to connect again within a second, however long the broker has been away', async () => {
    const times: number[] = [];
    const held = (): Promise<boolean> => {
      times.push(performance.now());
      return Promise.resolve(true);
    };
    const lane = start({ url: `mqtt://127.0.0.1:${await freePort()}`, held });
    await eventually(() => expect(times.length).toBeGreaterThan(6));
    await lane.stop();
    const waits = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    // The fifth wait and later ones have reached the cap; the rest is what a refused connect takes.
    for (const wait of waits.slice(4)) expect(wait).toBeLessThan(1500);
    expect(waits[0]).toBeLessThan(500);
  });

  it('connects again while it retires if the broker does not send its last message', async () => {
    const contrary = await ContraryBroker.before(broker.port);
    contrary.stall((name) => name === `lane of ${topic}/last`);
    const lane = start({ purpose: 'retire', url: contrary.url, readyMs: 200 });
    // It asks for its grant before each connect.
    await eventually(() => expect(asked).toBeGreaterThan(1));
    expect(retired).toEqual([]);
    contrary.release();
    await eventually(() => expect(retired).toEqual([0]));
    await lane.stop();
    await contrary.stop();
  });
});
