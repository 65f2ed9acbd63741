import { connectAsync, type MqttClient } from 'mqtt';
import type { Packet } from 'mqtt-packet';
import { pino } from 'pino';
import { TopicTemplate } from '@app/protocol';
import { StaleOwnerError, type Grant } from '@app/sharding';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import type { Behaviour, Pass } from '../../../../test/support/contrary/behaviour.js';
import { dupDropped } from '../../../../test/support/contrary/redelivery.js';
import { openGate } from '../../../../test/support/open-gate.js';
import { eventually, freePort, gate, quiet, startMosquitto, type Server } from '../../../../test/support/servers.js';
import type { LaneConnect } from './lane-connections.js';
import { Lane, type LanePurpose } from './lane.js';
import { RESUME_GRACE_MS } from './session-resumes.js';

const GRANT: Grant = { kind: 'lane', index: 0, epoch: 1, fence: '1:boot' };

let broker: Server;
let publisher: MqttClient;
let lanes: Lane[];
let cases = 0;
let template: TopicTemplate;
let topic: string;
let stored: string[];
let asked: number;
let lost: Grant[];
let retired: number[];
/** What happened to the lane, in order: messages that were stored, and sessions that the broker began. */
let log: string[];
let sessionBegun: () => Promise<void>;
let connects: LaneConnect[];
let [isFailing, failures] = [false, 0];

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
  template = new TopicTemplate(`in/${cases++}/{clientId}`);
  topic = template.topicOf('host');
  [asked, stored, log] = [0, [], []];
  [lost, retired] = [[], []];
  sessionBegun = () => Promise.resolve();
  connects = [];
  [isFailing, failures] = [false, 0];
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
  pass = openGate.pass,
  logger = quiet,
}: {
  url?: string;
  held?: () => Promise<boolean>;
  isStale?: boolean;
  purpose?: LanePurpose;
  readyMs?: number;
  pass?: typeof openGate.pass;
  logger?: typeof quiet;
} = {}): Lane {
  const lane = new Lane(
    GRANT,
    purpose,
    {
      url,
      clientId: `lane of ${topic}`,
      filters: [`$share/group/${template.filter}`],
      templates: [template],
      window: 100,
      readyMs,
      gate: { ...openGate, pass },
    },
    {
      write: (packets) => {
        if (isStale) return Promise.reject(new StaleOwnerError(GRANT));
        if (isFailing) return Promise.reject(new Error(`storing failed ${++failures} times`));
        stored.push(...packets.map(({ payload }) => payload.toString()));
        log.push(...packets.map(({ payload }) => payload.toString()));
        return Promise.resolve();
      },
    },
    {
      connected: (connect) => void connects.push(connect),
      sessionBegun: async () => {
        await sessionBegun();
        log.push('new session');
      },
      retired: ({ index }) => Promise.resolve(void retired.push(index)),
    },
    {
      confirm: () => {
        asked++;
        return held();
      },
      lost: (grant) => lost.push(grant),
    },
    logger,
  );
  lanes.push(lane);
  lane.start();
  return lane;
}

/** Takes over the lane's session, as another process would, and disconnects. */
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

/** Ends the session at the broker, as a broker does that loses it. */
async function endSession(): Promise<void> {
  const other = await connectAsync(broker.url, { protocolVersion: 5, clientId: `lane of ${topic}`, clean: true });
  await other.endAsync();
}

/** Ends each connection that resumes a session, at this packet of the lane: like a broker that cannot send what waits in it. */
function failingResumes(at: 'subscribe' | 'unsubscribe'): Behaviour {
  return (link) => {
    let resumes = false;
    return {
      fromBroker: {
        connack: (packet, pass) => {
          resumes = packet.sessionPresent;
          pass(packet);
        },
      },
      fromClient: { [at]: (packet: Packet, pass: Pass) => (resumes ? link.end() : pass(packet)) },
    };
  };
}

/** Leaves a session of the lane at the broker, with a message that waits in it. */
async function leaveSession(): Promise<void> {
  const former = start();
  await eventually(CONNECTED, () => expect(former.connected).toBe(true));
  await former.stop();
  await publish('waiting');
  asked = 0;
  connects = [];
}

function publish(text: string): Promise<unknown> {
  return publisher.publishAsync(topic, text, { qos: 1 });
}

const CONNECTED = 'the lane is connected';

function untilAsked(times: number): Promise<void> {
  return eventually(`the lane has asked ${times} times whether it owns its grant`, () => expect(asked).toBe(times));
}

function untilStored(...texts: string[]): Promise<void> {
  return eventually('the messages that came through the lane are stored', () => expect(stored).toEqual(texts));
}

describe('Lane', () => {
  it('asks whether it still owns its grant before it connects', async () => {
    const answer = gate<boolean>();
    const lane = start({ held: () => answer.passed });
    await untilAsked(1);
    expect(lane.connected).toBe(false);
    answer.open(true);
    await eventually(CONNECTED, () => expect(lane.connected).toBe(true));
    expect(asked).toBe(1);
  });

  it('never connects if it does not own its grant', async () => {
    const lane = start({ held: () => Promise.resolve(false) });
    await untilAsked(1);
    await lane.stop();
    expect(lane.connected).toBe(false);
    // The broker answers a publish that nobody is subscribed to.
    const answers: unknown[] = [];
    publisher.on('packetreceive', (packet) => answers.push(packet));
    await publish('without subscribers');
    publisher.removeAllListeners('packetreceive');
    expect(answers).toContainEqual(expect.objectContaining({ cmd: 'puback', reasonCode: 0x10 }));
  });

  it('asks before each connect whether the broker has what it needs, and only then whether it owns its grant', async () => {
    const answers = [gate<boolean>(), gate<boolean>(), gate<boolean>()];
    let passes = 0;
    const lane = start({ pass: () => answers[passes++]?.passed ?? Promise.resolve(false) });
    expect(asked).toBe(0);
    answers[0]?.open(true);
    await eventually(CONNECTED, () => expect(lane.connected).toBe(true));
    expect(asked).toBe(1);
    await takeSession();
    await eventually('the lane asks for the second time', () => expect(passes).toBe(2));
    expect([asked, lane.connected]).toEqual([1, false]);
    answers[1]?.open(true);
    await eventually(CONNECTED, () => expect(lane.connected).toBe(true));
    expect(asked).toBe(2);
    // The gate stops, and the lane with it.
    await takeSession();
    await eventually('the lane asks for the third time', () => expect(passes).toBe(3));
    answers[2]?.open(false);
    await lane.stop();
    expect([passes, asked]).toEqual([3, 2]);
  });

  it('asks again after another connection took its session, and goes on if it owns the grant', async () => {
    const lane = start();
    await eventually(CONNECTED, () => expect(lane.connected).toBe(true));
    await takeSession();
    await untilAsked(2);
    await eventually(CONNECTED, () => expect(lane.connected).toBe(true));
    await publish('after');
    await untilStored('after');
    expect(lost).toEqual([]);
  });

  it('leaves the session to the connection that took it if it no longer owns the grant', async () => {
    let holds = true;
    const lane = start({ held: () => Promise.resolve(holds) });
    await eventually(CONNECTED, () => expect(lane.connected).toBe(true));
    holds = false;
    await takeSession();
    await untilAsked(2);
    await lane.stop();
    expect(lane.connected).toBe(false);
  });

  it('reports its grant lost, and stops, when the mailbox writer rejects a batch with StaleOwnerError', async () => {
    start({ isStale: true });
    const lane = lanes[0];
    await eventually(CONNECTED, () => expect(lane?.connected).toBe(true));
    await publish('late');
    await eventually('the grant is reported lost', () => expect(lost).toEqual([GRANT]));
    await lane?.stop();
    expect(asked).toBe(1);
    expect(stored).toEqual([]);
  });

  it('is connected again after the broker has refused it for a while', async () => {
    const contrary = await ContraryBroker.before(broker.port);
    contrary.refuse();
    const lane = start({ url: contrary.url });
    await eventually('the broker has refused two connects', () => expect(contrary.refused).toBeGreaterThan(1));
    expect(lane.connected).toBe(false);
    contrary.accept();
    await eventually(CONNECTED, () => expect(lane.connected).toBe(true));
    await publish('after');
    await untilStored('after');
    await lane.stop();
    await contrary.stop();
  });

  it('connects again if the broker does not answer its subscription', async () => {
    const contrary = await ContraryBroker.before(broker.port);
    contrary.withholdSubacks(2);
    const lane = start({ url: contrary.url, readyMs: 200 });
    await eventually('the lane tries to connect for the third time', () => expect(asked).toBeGreaterThan(2));
    await eventually(CONNECTED, () => expect(lane.connected).toBe(true));
    await publish('after');
    await untilStored('after');
    await lane.stop();
    await contrary.stop();
  });

  it('waits at most a second before it tries to connect again, however long the broker has been away', async () => {
    const lines: { wait_ms?: number }[] = [];
    const write = (line: string): void => void lines.push(JSON.parse(line) as (typeof lines)[0]);
    const lane = start({ url: `mqtt://127.0.0.1:${await freePort()}`, logger: pino({ level: 'warn' }, { write }) });
    await eventually('the lane tries to connect for the seventh time', () => expect(asked).toBeGreaterThan(6));
    await lane.stop();
    const waits = lines.flatMap(({ wait_ms }) => wait_ms ?? []);
    expect(waits[0]).toBeLessThanOrEqual(100);
    // The fifth wait and later ones have reached the cap.
    expect(waits.length).toBeGreaterThan(5);
    for (const wait of waits.slice(4)) expect(wait).toBeLessThanOrEqual(1000);
  });

  it.each<[string, readonly Behaviour[]]>([
    ['with', []],
    ['without', [dupDropped]],
  ])('gives up a session that fails to resume and redelivers %s DUP, and goes on with a new one', async (_, more) => {
    await leaveSession();
    const contrary = await ContraryBroker.before(broker.port, failingResumes('subscribe'), ...more);
    const lane = start({ url: contrary.url });
    await eventually(CONNECTED, () => expect(lane.connected).toBe(true));
    expect(asked).toBeGreaterThan(4);
    // A sweep is requested as for a lost session.
    expect(connects).toEqual([{ sessionPresent: false, isReconnect: false, isIdle: false }]);
    await publish('after');
    // The message that waited came with each failed resume.
    await eventually('the new message is stored', () => expect(stored).toContain('after'));
    // The next connection resumes the new session.
    contrary.behave();
    contrary.cut();
    await eventually('the lane is connected again', () => expect(connects).toHaveLength(2));
    expect(connects[1]).toEqual({ sessionPresent: true, isReconnect: true, isIdle: false });
    await lane.stop();
    await contrary.stop();
  });

  it('stores nothing of a new session before what is remembered of the former one is forgotten, and tries that again', async () => {
    await leaveSession();
    [stored, log] = [[], []];
    const forgotten = gate();
    let tries = 0;
    sessionBegun = async () => {
      if (++tries === 1) throw new Error('Redis is away');
      await forgotten.passed;
    };
    const resumed = start();
    await untilStored('waiting');
    await resumed.stop();
    expect(tries).toBe(0);
    await endSession();
    const lane = start();
    await eventually(CONNECTED, () => expect(lane.connected).toBe(true));
    await publish('first');
    await eventually('it is tried again', () => expect(tries).toBe(2));
    expect(log).toEqual(['waiting']);
    forgotten.open();
    await untilStored('waiting', 'first');
    expect(log).toEqual(['waiting', 'new session', 'first']);
  });

  it('keeps its session while the broker refuses it or its own handler fails, however often', async () => {
    await leaveSession();
    const contrary = await ContraryBroker.before(broker.port);
    contrary.refuse();
    isFailing = true;
    const lane = start({ url: contrary.url });
    await eventually('the broker has refused six connects', () => expect(contrary.refused).toBeGreaterThan(5));
    contrary.accept();
    await eventually('storing has failed six times', () => expect(failures).toBeGreaterThan(5));
    isFailing = false;
    await untilStored('waiting');
    expect(connects.every(({ sessionPresent }) => sessionPresent)).toBe(true);
    await lane.stop();
    await contrary.stop();
  });

  it('leaves a session that it would have given up to its new owner', async () => {
    await leaveSession();
    const contrary = await ContraryBroker.before(broker.port, failingResumes('subscribe'));
    const begunAt = performance.now();
    let isOwner = true;
    // The grant is lost just before the lane would give its session up.
    const held = (): Promise<boolean> =>
      Promise.resolve((isOwner = isOwner && performance.now() - begunAt < RESUME_GRACE_MS));
    const lane = start({ url: contrary.url, held });
    await eventually('the lane has lost its grant', () => expect(isOwner).toBe(false));
    await lane.stop();
    await contrary.stop();
    [stored, connects] = [[], []];
    const owner = start();
    await untilStored('waiting');
    await eventually(CONNECTED, () => expect(owner.connected).toBe(true));
    expect(connects).toEqual([{ sessionPresent: true, isReconnect: false, isIdle: false }]);
    await owner.stop();
  });

  it('gives up a session that the broker fails to resume also while it retires, and says that a sweep is needed', async () => {
    await leaveSession();
    const contrary = await ContraryBroker.before(broker.port, failingResumes('unsubscribe'));
    const lane = start({ purpose: 'retire', url: contrary.url });
    await eventually('the lane is retired', () => expect(retired).toEqual([0]));
    expect(connects).toEqual([{ sessionPresent: false, isReconnect: false, isIdle: false }]);
    await lane.stop();
    await contrary.stop();
  });

  it('connects again while it retires if the broker does not send its last message', async () => {
    const contrary = await ContraryBroker.before(broker.port);
    contrary.stall((name) => name === `lane of ${topic}/last`);
    const lane = start({ purpose: 'retire', url: contrary.url, readyMs: 200 });
    // A lane asks whether it owns its grant before each connect.
    await eventually('the lane connects for the second time', () => expect(asked).toBeGreaterThan(1));
    expect(retired).toEqual([]);
    contrary.release();
    await eventually('the lane is retired', () => expect(retired).toEqual([0]));
    await lane.stop();
    await contrary.stop();
  });
});
