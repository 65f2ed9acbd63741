/** A lane that is connected again, because it is quiet or because its session was lost. */
import { connectAsync } from 'mqtt';
import { TopicTemplate } from '@app/protocol';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import { silentAfter } from '../../../../test/support/contrary/shared-subscriptions.js';
import { openGate } from '../../../../test/support/open-gate.js';
import { eventually, gate, quiet, startMosquitto, type Server } from '../../../../test/support/servers.js';
import type { LaneConnect } from './lane-connections.js';
import { Lane } from './lane.js';

const template = new TopicTemplate('in/{clientId}');
const CLIENT_ID = 'group-lane-0';

let mosquitto: Server;
let broker: ContraryBroker;
let lane: Lane;
let stored: string[];
let connects: LaneConnect[];
let asked: number;
let losses: number;
let confirm: () => Promise<boolean>;
let sessionBegun: () => Promise<void>;

beforeEach(async () => {
  mosquitto = await startMosquitto();
  broker = await ContraryBroker.before(mosquitto.port);
  [stored, connects, asked, losses] = [[], [], 0, 0];
  confirm = () => Promise.resolve(true);
  sessionBegun = () => Promise.resolve();
});

afterEach(async () => {
  await lane.stop();
  await broker.stop();
  await mosquitto.stop();
});

async function start(): Promise<void> {
  lane = new Lane(
    { kind: 'lane', index: 0, epoch: 1, fence: '1:boot' },
    'serve',
    {
      url: broker.url,
      clientId: CLIENT_ID,
      filters: [`$share/group/${template.filter}`],
      templates: [template],
      window: 100,
      gate: { ...openGate, connectionLost: () => losses++ },
    },
    { write: (packets) => Promise.resolve(void stored.push(...packets.map(({ payload }) => payload.toString()))) },
    {
      connected: (connect) => void connects.push(connect),
      sessionBegun: () => sessionBegun(),
      retired: () => Promise.resolve(),
    },
    {
      confirm: () => {
        asked++;
        return confirm();
      },
      lost: jest.fn(),
    },
    quiet,
  );
  lane.start();
  await untilConnects(1);
}

async function untilConnects(times: number): Promise<void> {
  await eventually(`the lane has connected ${times} times`, () => expect(connects).toHaveLength(times));
}

async function untilStored(text: string): Promise<void> {
  await eventually('the message is stored', () => expect(stored).toEqual([text]));
}

async function publish(text: string): Promise<void> {
  const client = await connectAsync(mosquitto.url, { protocolVersion: 5 });
  await client.publishAsync(template.topicOf('host'), text, { qos: 1 });
  await client.endAsync();
}

/** Takes the session over. `clean`: ends it, as a broker does that loses it. */
async function takeSession(clean: boolean): Promise<void> {
  const client = await connectAsync(mosquitto.url, {
    protocolVersion: 5,
    clientId: CLIENT_ID,
    clean,
    reconnectPeriod: 0,
    properties: { sessionExpiryInterval: clean ? 0 : 3600 },
  });
  await client.endAsync();
}

describe('Lane.checkQuiet', () => {
  it('connects the lane again, and says that it was idle if nothing waited', async () => {
    await start();
    // They would cost the session if they counted as failed resumes.
    for (let checks = 1; checks <= 6; checks++) {
      lane.checkQuiet([template]);
      await untilConnects(checks + 1);
      expect(connects.at(-1)).toEqual({ sessionPresent: true, isReconnect: true, isIdle: true });
    }
    await publish('after');
    await untilStored('after');
  });

  it('lets a sweep follow the third check in a row for which nothing waited', async () => {
    await start();
    const idle: boolean[] = [];
    for (let checks = 1; checks <= 4; checks++) {
      lane.activity.checked([template], { quietMs: 60_000, longestQuietMs: 300_000 });
      lane.checkQuiet([template]);
      await untilConnects(checks + 1);
      idle.push(connects.at(-1)?.isIdle ?? false);
    }
    expect(idle).toEqual([true, true, false, true]);
  });

  it('loses no connection to the broker by it, but by a cut', async () => {
    await start();
    lane.checkQuiet([template]);
    await untilConnects(2);
    expect(losses).toBe(0);
    broker.cut();
    await untilConnects(3);
    expect(losses).toBe(1);
  });

  it('says that the lane was not idle if messages had waited for it', async () => {
    broker.behave(silentAfter(0, 1));
    await start();
    await publish('stalled');
    lane.checkQuiet([template]);
    await untilStored('stalled');
    await untilConnects(2);
    expect(connects.at(-1)).toEqual({ sessionPresent: true, isReconnect: true, isIdle: false });
  });

  it('does not call a lane idle whose connection another one had taken over', async () => {
    await start();
    await takeSession(false);
    lane.checkQuiet([template]);
    await untilConnects(2);
    expect(connects.at(-1)).toEqual({ sessionPresent: true, isReconnect: true, isIdle: false });
  });

  it('does not call a lane idle whose session the broker loses while it is checked', async () => {
    await start();
    const answer = gate<boolean>();
    confirm = () => answer.passed;
    lane.checkQuiet([template]);
    await eventually('the lane asks whether it owns its grant', () => expect(asked).toBe(2));
    await takeSession(true);
    answer.open(true);
    await untilConnects(2);
    expect(connects.at(-1)).toEqual({ sessionPresent: false, isReconnect: true, isIdle: false });
  });
});

describe('a new session of a lane', () => {
  it('stores nothing if the lane is dropped before what is remembered of the former one is forgotten', async () => {
    let tries = 0;
    sessionBegun = () => Promise.reject(new Error(`Redis is away, ${++tries}`));
    await start();
    await publish('first');
    await eventually('it is tried again', () => expect(tries).toBeGreaterThan(1));
    lane.abandon();
    await lane.stop();
    expect(stored).toEqual([]);
  });

  it('forgets nothing while the one before still does', async () => {
    const forgotten = gate();
    let begun = 0;
    sessionBegun = () => {
      begun++;
      return forgotten.passed;
    };
    await start();
    await takeSession(true);
    await untilConnects(2);
    expect(begun).toBe(1);
    forgotten.open();
    await eventually('the newer session begins', () => expect(begun).toBe(2));
    await publish('first');
    await untilStored('first');
  });
});
