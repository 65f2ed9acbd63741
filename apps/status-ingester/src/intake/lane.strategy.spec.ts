import { connect, connectAsync, type MqttClient } from 'mqtt';
import { register } from 'prom-client';
import type { Grant } from '@app/sharding';
import { openGate } from '../../../../test/support/open-gate.js';
import { eventually, freePort, quiet, startMosquitto, type Server } from '../../../../test/support/servers.js';
import { LaneStrategy } from './lane.strategy.js';

let broker: Server;
let publisher: MqttClient;
let strategy: LaneStrategy;
let stored: string[];
let sequences: number[];
let retired: number[];
let groups = 0;

const ownership = { confirm: () => Promise.resolve(true), lost: () => undefined };

beforeAll(async () => {
  broker = await startMosquitto({ config: ['max_queued_messages 0', 'max_inflight_messages 20'] });
  publisher = await connectAsync(broker.url, { protocolVersion: 5 });
});

afterAll(async () => {
  await publisher.endAsync();
  await broker.stop();
});

beforeEach(() => {
  stored = [];
  sequences = [];
  retired = [];
  strategy = begin(`group${groups++}`);
});

afterEach(() => strategy.close());

function begin(group: string, url = broker.url): LaneStrategy {
  const begun = new LaneStrategy(
    { url, filters: [`in/${group}/+`], templates: [], window: 50, gate: openGate },
    {
      write: (packets, _lane, sequence) => {
        stored.push(...packets.map(({ payload }) => payload.toString()));
        sequences.push(sequence);
        return Promise.resolve();
      },
    },
    {
      connected: () => undefined,
      sessionBegun: () => Promise.resolve(),
      retired: ({ index }) => Promise.resolve(void retired.push(index)),
    },
    quiet,
  );
  begun.group = group;
  return begun;
}

function lane(index: number): Grant {
  return { kind: 'lane', index, epoch: 1, fence: '1:boot' };
}

async function publish(count: number, from = 0): Promise<string[]> {
  const texts = Array.from({ length: count }, (_, i) => `${from + i}`);
  await Promise.all(
    texts.map((text, i) => publisher.publishAsync(`in/${strategy.group ?? ''}/${i % 7}`, text, { qos: 1 })),
  );
  return texts;
}

/** Whether the broker has a session of the lane. */
async function sessionOf(index: number): Promise<boolean> {
  const probe = connect(broker.url, {
    protocolVersion: 5,
    clientId: `${strategy.group ?? ''}-lane-${index}`,
    clean: false,
  });
  const present = await new Promise<boolean>((resolve) => {
    probe.once('connect', ({ sessionPresent }) => resolve(sessionPresent));
  });
  await probe.endAsync();
  return present;
}

async function untilConnected(): Promise<void> {
  await eventually('the lanes are connected', () => expect(strategy.connected).toBe(true));
}

async function untilRetired(...lanes: number[]): Promise<void> {
  await eventually(`the lanes ${lanes.join(', ')} are retired`, () => expect(retired).toEqual(lanes));
}

it('drains a surplus lane and ends its session', async () => {
  strategy.open(lane(0), ownership);
  strategy.open(lane(1), ownership);
  await untilConnected();
  const during = publish(2000);
  strategy.setLaneCount(1);
  const first = await during;
  await untilRetired(1);
  const second = await publish(200, 2000);
  await eventually('all messages are stored', () => expect(new Set(stored)).toEqual(new Set([...first, ...second])));
  expect(stored).toHaveLength(2200);
  expect(strategy.connected).toBe(true);
});

it('stores what waited at the broker while nobody owned a surplus lane, before it ends the session', async () => {
  strategy.open(lane(0), ownership);
  await untilConnected();
  await strategy.close();
  const waiting = await publish(500);
  strategy.setLaneCount(0);
  strategy.open(lane(0), ownership);
  await untilRetired(0);
  expect(stored).toEqual(waiting);
});

it('serves a lane that is no longer surplus, and continues the sequence numbers of its batches', async () => {
  strategy.open(lane(0), ownership);
  await untilConnected();
  await publish(10);
  await eventually('ten messages are stored', () => expect(stored).toHaveLength(10));
  strategy.setLaneCount(0);
  await untilRetired(0);
  strategy.setLaneCount(1);
  await eventually('the lane stores messages again', async () => {
    await publish(1, 10);
    expect(stored.length).toBeGreaterThan(10);
  });
  // A batch whose number is not higher would count as a repetition, and be dropped.
  expect(sequences).toEqual([...sequences].sort((a, b) => a - b));
  expect(new Set(sequences).size).toBe(sequences.length);
});

it('leaves no session of a retired lane at the broker, and keeps the session of a lane that only disconnects', async () => {
  for (const index of [0, 1]) strategy.open(lane(index), ownership);
  await untilConnected();
  strategy.setLaneCount(1);
  await untilRetired(1);
  await strategy.close();
  expect(await Promise.all([0, 1].map(sessionOf))).toEqual([true, false]);
});

describe('the metric lane_connected', () => {
  async function samples(): Promise<string[]> {
    const lines = (await register.metrics()).split('\n');
    return lines.filter((line) => line.startsWith('cloud_connector_lane_connected{')).sort();
  }

  it('has a sample for each lane that this process serves, and none for one that it has lost or retires', async () => {
    const grants = [40, 41, 42].map(lane);
    for (const grant of grants) strategy.open(grant, ownership);
    await untilConnected();
    const shown = [40, 41, 42].map((index) => `cloud_connector_lane_connected{lane="${index}"} 1`);
    expect(await samples()).toEqual(expect.arrayContaining(shown));
    await strategy.drop(grants[0] as Grant);
    strategy.setLaneCount(42);
    await untilRetired(42);
    const left = await samples();
    expect(shown.filter((sample) => left.includes(sample))).toEqual([shown[1]]);
    expect(left.join()).not.toMatch(/lane="4[02]"/);
  });
});

describe('LaneStrategy.untilConnected', () => {
  const forever = new AbortController().signal;

  it('resolves at once if this process has no lane', async () => {
    await strategy.untilConnected(60_000, forever);
  });

  it('waits for each lane of this process', async () => {
    const port = await freePort();
    const waiting = begin(`group${groups++}`, `mqtt://127.0.0.1:${port}`);
    for (const index of [0, 1]) waiting.open(lane(index), ownership);
    const outcome = waiting
      .untilConnected(60_000, forever)
      .then(() => waiting.serving.map(({ connected }) => connected));
    const late = await startMosquitto({ port });
    await expect(outcome).resolves.toEqual([true, true]);
    await waiting.close();
    await late.stop();
  });

  it('rejects if a lane stays away for too long, or if it is aborted', async () => {
    const away = begin(`group${groups++}`, `mqtt://127.0.0.1:${await freePort()}`);
    away.open(lane(0), ownership);
    await expect(away.untilConnected(1, forever)).rejects.toThrow(
      'the lanes of this process are not connected after 1 ms',
    );
    const stop = new AbortController();
    const aborted = away.untilConnected(60_000, stop.signal);
    stop.abort(new Error('the process stops'));
    await expect(aborted).rejects.toThrow('the process stops');
    await away.close();
  });
});
