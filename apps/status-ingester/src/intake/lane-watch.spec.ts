/** A whole ingester in this process, at a real Redis, and at a Mosquitto behind a broker that stalls one filter. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { IntakePacket, PublishOutcome } from '@app/broker';
import type { Redis } from '@app/platform';
import { TopicTemplate } from '@app/protocol';
import { ConnectionDirectory, RegistryKeys } from '@app/registry';
import { pino } from 'pino';
import { register } from 'prom-client';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import { silentAfter, topicOnOneMember } from '../../../../test/support/contrary/shared-subscriptions.js';
import { IngesterApp } from '../../../../test/support/ingester-app.js';
import { TestClient } from '../../../../test/support/mqtt-client.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, quiet, startMosquitto, type Server } from '../../../../test/support/servers.js';
import { LaneActivity } from './lane-activity.js';
import { CONTROL_MESSAGE, type ExpectedMarker } from './lane-markers.js';
import { LaneWatch, type LaneWatchTiming } from './lane-watch.js';

const SHARDS = 2;
/** A test ends before a lane is judged. */
const NEVER: LaneWatchTiming = { everyMs: 20, returnMs: 120_000, quietMs: 120_000, longestQuietMs: 120_000 };
const SOON: LaneWatchTiming = { ...NEVER, returnMs: 500 };
/** Only quiet lanes are checked. */
const QUIET_SOON: LaneWatchTiming = { ...NEVER, quietMs: 600, longestQuietMs: 1200 };

let redis: Redis;
let redisUrl: string;
let mosquitto: Server;
let broker: ContraryBroker;
let app: IngesterApp | undefined;
let lines: { level: number; msg: string; lane?: number }[];
let clients: TestClient[];
let directory: ConnectionDirectory;
let cases = 0;
/** Names of the metrics that were registered before the first ingester. */
const metrics = new Set(register.getMetricsAsArray().map(({ name }) => name));

withRedis((connection, server) => {
  redis = connection;
  redisUrl = server.url;
});

beforeEach(async () => {
  mosquitto = await startMosquitto();
  broker = await ContraryBroker.before(mosquitto.port);
  clients = [];
});

afterEach(async () => {
  await Promise.all(clients.map(({ mqtt }) => mqtt.endAsync(true)));
  await app?.stop();
  app = undefined;
  // The next ingester of this process registers its own.
  for (const { name } of register.getMetricsAsArray()) if (!metrics.has(name)) register.removeSingleMetric(name);
  await broker.stop();
  await mosquitto.stop();
});

async function start(timing: LaneWatchTiming, env: Record<string, string> = {}): Promise<void> {
  const prefix = `watch${cases++}`;
  lines = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[0]) });
  directory = new ConnectionDirectory(redis, new RegistryKeys(prefix), SHARDS);
  const own = { REDIS_URL: redisUrl, MQTT_URL: broker.url, KEY_PREFIX: prefix, SHARD_COUNT: `${SHARDS}` };
  app = await IngesterApp.start({ ...own, ...env }, logger, { laneWatch: timing });
  await untilReady();
}

async function untilReady(): Promise<void> {
  await eventually('the ingester is ready', async () => expect((await ready()).status).toBe(200));
}

async function ready(): Promise<{ status: number; text: string }> {
  const response = await fetch(`${app?.url}/health/ready`);
  return { status: response.status, text: await response.text() };
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${app?.url}/metrics`)).text();
  return Number(new RegExp(`^cloud_connector_${name} (\\d+)$`, 'm').exec(text)?.[1]);
}

async function comeOnline(id: string): Promise<string> {
  const client = await TestClient.connect(mosquitto.url, id);
  clients.push(client);
  return client.shakeHands();
}

async function untilOnline(id: string, handshake: string): Promise<void> {
  await eventually(`${id} is online`, async () => {
    expect(await directory.find(id)).toMatchObject({ state: 'online', handshake_message_id: handshake });
  });
}

const isForLane = (topic: string, clientId: string): boolean =>
  clientId.includes('-lane-') && topic.startsWith('redhat/insights/in/');

it('the lane watch finds a lane whose filter the broker has stalled, reports it, and reconnects it until messages come', async () => {
  await start(SOON);
  await untilOnline('before', await comeOnline('before'));
  const stalls = await metric('lane_stalls_total{lane="0"}');
  expect(stalls).toBeGreaterThanOrEqual(0);

  broker.stall(isForLane);
  const kept = await comeOnline('kept');
  const reason = 'nothing comes from the broker by redhat/insights/in/+: the lanes are connected again';
  await eventually('the ingester is unready, and says why', async () => {
    const { status, text } = await ready();
    expect(status).toBe(503);
    expect(text).toContain(reason);
  });
  expect(await metric('lane_stalls_total{lane="0"}')).toBeGreaterThan(stalls);
  expect(lines.filter(({ msg }) => msg.startsWith('a marker did not come back'))[0]).toMatchObject({
    level: 40,
    lane: 0,
    filter: 'redhat/insights/in/+',
  });

  broker.release();
  await untilOnline('kept', kept);
  await untilReady();
  await untilOnline('after', await comeOnline('after'));
});

it('the lane watch finds a stalled lane of two, although the broker may give the marker to the other one', async () => {
  await start(SOON, { INTAKE_LANES: '2' });
  const first = await metric('lane_stalls_total{lane="1"}');
  broker.stall((topic, clientId) => clientId.endsWith('-lane-1') && isForLane(topic, clientId));
  await eventually('the second lane counts a stall', async () => {
    expect(await metric('lane_stalls_total{lane="1"}')).toBeGreaterThan(first);
  });
  broker.release();
  await untilReady();
  for (const id of ['one', 'two', 'three']) await untilOnline(id, await comeOnline(id));
});

it('a stalled lane of two is connected again although the broker gives all markers to the other one, and no sweep is needed', async () => {
  // Not by the sentinel of the first sweep: a check of the lane may end that connection before a handshake comes.
  const silent = silentAfter(0, 1, (topic) => topic.startsWith('redhat/insights/in/'));
  broker.behave(
    topicOnOneMember('redhat/insights/in/', (clientId) => clientId.endsWith('-lane-0')),
    (link) => (link.clientId.endsWith('-lane-1') ? silent(link) : {}),
  );
  await start(QUIET_SOON, { INTAKE_LANES: '2' });
  await eventually('the sweeps of the start have ended', async () => {
    expect(await metric('sweeps_total{outcome="complete"}')).toBeGreaterThan(0);
    expect(await metric('sweep_running')).toBe(0);
  });
  const corrections = await metric('sweep_corrections_total{kind="online"}');
  const stalls = await metric('lane_stalls_total{lane="1"}');
  const requests = await metric('sweep_requests_total{trigger="broker-lost"}');
  let clientCount = 0;
  await eventually('a handshake has waited for the second lane', async () => {
    const ids = Array.from({ length: 6 }, () => `client-${clientCount++}`);
    const handshakes = await Promise.all(ids.map(comeOnline));
    for (const [i, id] of ids.entries()) await untilOnline(id, handshakes[i] ?? '');
    expect(await metric('lane_stalls_total{lane="1"}')).toBeGreaterThan(stalls);
  });
  expect(await metric('sweep_corrections_total{kind="online"}')).toBe(corrections);
  expect(await metric('lane_checks_total{lane="1"}')).toBeGreaterThan(0);
  // If the machine stands still, the first lane may log such a line too.
  const waited = lines.filter(({ msg }) => msg.startsWith('messages had waited'));
  expect(waited).toContainEqual(expect.objectContaining({ level: 40, lane: 1 }));
  await eventually('a sweep follows', async () => {
    expect(await metric('sweep_requests_total{trigger="broker-lost"}')).toBeGreaterThan(requests);
  });
});

it('markers are neither counted nor stored as messages of clients, and only the control message is retained', async () => {
  const counted = ['intake_messages_total{lane="0"}', 'intake_foreign_topics_total', 'intake_throttled_messages_total'];
  const markers: boolean[] = [];
  const observer = await TestClient.connect(mosquitto.url, 'observer');
  clients.push(observer);
  observer.mqtt.removeAllListeners('message');
  observer.mqtt.on('message', (_topic, _payload, { retain }) => markers.push(retain));
  await observer.mqtt.subscribeAsync('redhat/insights/in/', { qos: 1 });
  await start(NEVER);
  const before = await Promise.all(counted.map(metric));
  // The next marker is published when the one before has come back.
  await eventually('eleven markers have been published', () => expect(markers.length).toBeGreaterThan(10));
  expect(await Promise.all(counted.map(metric))).toEqual(before);
  await untilOnline('only', await comeOnline('only'));
  expect(await metric('intake_messages_total{lane="0"}')).toBe((before[0] ?? NaN) + 1);
  const late: [topic: string, text: string][] = [];
  observer.mqtt.on('message', (topic, payload, { retain }) => {
    if (retain) late.push([topic, payload.toString()]);
  });
  await observer.mqtt.subscribeAsync('redhat/insights/in/#', { qos: 1 });
  await eventually('both retained messages come', () => expect(late).toHaveLength(2));
  expect(new Map(late)).toEqual(
    new Map([
      ['redhat/insights/in/', CONTROL_MESSAGE],
      ['redhat/insights/in/only', expect.stringContaining('host-handshake')],
    ]),
  );
});

it('a message on the topic of the markers that is no marker is counted as foreign', async () => {
  await start(NEVER);
  const before = await metric('intake_foreign_topics_total');
  const client = await TestClient.connect(mosquitto.url, 'stranger');
  clients.push(client);
  for (const text of ['', 'x', 'marker', `marker ${'x'.repeat(37)}`])
    await client.mqtt.publishAsync('redhat/insights/in/', text, { qos: 1 });
  await eventually('four messages are counted as foreign', async () => {
    expect(await metric('intake_foreign_topics_total')).toBe(before + 4);
  });
});

it('the ingester stays ready, and says that lanes are not watched, if the broker does not allow markers', async () => {
  await mosquitto.stop();
  const dir = await mkdtemp(join(tmpdir(), 'cloud-connector-acl-'));
  const acl = join(dir, 'acl');
  await writeFile(acl, 'topic readwrite #\ntopic deny redhat/insights/in/\n');
  mosquitto = await startMosquitto({ port: mosquitto.port, config: [`acl_file ${acl}`] });
  await start(SOON);
  await eventually('readiness says that lanes are not watched', async () => {
    const { status, text } = await ready();
    expect(status).toBe(200);
    expect(text).toContain('lanes are not watched: the broker lets no marker be published on redhat/insights/in/');
  });
  await untilOnline('unwatched', await comeOnline('unwatched'));
  expect(lines.filter(({ msg }) => msg.includes('lanes are not watched'))).toHaveLength(1);
  await rm(dir, { recursive: true });
});

describe('LaneWatch', () => {
  const template = new TopicTemplate('redhat/insights/in/{clientId}');
  const packet = { topic: 'redhat/insights/in/host' } as IntakePacket;

  /** Watches one lane until the first marker has been judged. @returns whether the lane was reconnected */
  async function isReconnected(
    publish: (activity: LaneActivity) => PublishOutcome,
    { noted = false, comesBack = false } = {},
  ): Promise<boolean> {
    const activity = new LaneActivity([template]);
    activity.connected(-1);
    let reconnects = 0;
    let published = 0;
    const expected = (): ExpectedMarker => ({
      id: 'id',
      cameBack: comesBack ? Promise.resolve() : new Promise(() => undefined),
      forget: () => undefined,
    });
    const watch = new LaneWatch({
      publisher: { publish: () => Promise.resolve(published++ === 0 ? publish(activity) : { kind: 'aborted' }) },
      markers: { expect: expected, wasNoted: () => Promise.resolve(noted) },
      templates: [template],
      timing: { ...NEVER, everyMs: 1, returnMs: 5 },
      lanes: () => [
        {
          grant: { kind: 'lane', index: 0, epoch: 1, fence: '' },
          activity,
          connected: true,
          reconnect: () => reconnects++,
          checkQuiet: jest.fn(),
        },
      ],
      laneCount: 1,
      logger: quiet,
    });
    watch.start();
    await eventually('the first marker has been judged', () => expect(published).toBeGreaterThan(1));
    watch.stop();
    expect(watch.stalledFilters).toEqual(reconnects > 0 ? [template.filter] : []);
    return reconnects > 0;
  }

  it('publishes no marker before a lane has subscribed', async () => {
    let asked = 0;
    const published: number[] = [];
    const watch = new LaneWatch({
      publisher: { publish: () => Promise.resolve((published.push(asked), { kind: 'aborted' as const })) },
      markers: {
        expect: () => ({ id: 'id', cameBack: Promise.resolve(), forget: () => undefined }),
        wasNoted: jest.fn(),
      },
      templates: [template],
      timing: { ...NEVER, everyMs: 1, returnMs: 5 },
      lanes: () => [
        {
          grant: { kind: 'lane', index: 0, epoch: 1, fence: '' },
          activity: new LaneActivity([template]),
          connected: ++asked > 3,
          reconnect: jest.fn(),
          checkQuiet: jest.fn(),
        },
      ],
      laneCount: 1,
      logger: quiet,
    });
    watch.start();
    await eventually('a marker is published', () => expect(published).not.toEqual([]));
    watch.stop();
    expect(published[0]).toBe(4);
  });

  it.each([
    ['of several', 2, 'acknowledged', true],
    ['that is the only one', 1, 'acknowledged', false],
    ['that is the only one, if no markers are allowed', 1, 'refused', true],
  ] as const)('checks a quiet lane %s: markers may not prove it alive', async (_, laneCount, kind, isChecked) => {
    const outcome: PublishOutcome = kind === 'refused' ? { kind, permanent: true, details: '' } : { kind };
    const activity = new LaneActivity([template]);
    activity.connected(-1);
    let looks = 0;
    const checked: (readonly TopicTemplate[])[] = [];
    const watch = new LaneWatch({
      publisher: { publish: () => Promise.resolve(outcome) },
      markers: {
        expect: () => ({ id: 'id', cameBack: Promise.resolve(), forget: () => undefined }),
        wasNoted: jest.fn(),
      },
      templates: [template],
      timing: { everyMs: 1, returnMs: 5, quietMs: 1, longestQuietMs: 1 },
      lanes: () => {
        looks++;
        const checkQuiet = (quiet: readonly TopicTemplate[]): void => void checked.push(quiet);
        const grant = { kind: 'lane', index: 0, epoch: 1, fence: '' } as const;
        return [{ grant, activity, connected: true, reconnect: jest.fn(), checkQuiet }];
      },
      laneCount,
      logger: quiet,
    });
    watch.start();
    await eventually('the lanes have been looked at, or checked', () =>
      isChecked ? expect(checked).not.toEqual([]) : expect(looks).toBeGreaterThan(5),
    );
    watch.stop();
    expect(checked[0]).toEqual(isChecked ? [template] : undefined);
  });

  it('reconnects a lane if the marker does not come back', async () => {
    expect(await isReconnected(() => ({ kind: 'acknowledged' }))).toBe(true);
  });

  it('reconnects a lane if the broker says that nobody is subscribed', async () => {
    expect(await isReconnected(() => ({ kind: 'no-subscribers' }))).toBe(true);
  });

  it('does not reconnect a lane if the marker comes back to this process or another', async () => {
    expect(await isReconnected(() => ({ kind: 'acknowledged' }), { comesBack: true })).toBe(false);
    expect(await isReconnected(() => ({ kind: 'acknowledged' }), { noted: true })).toBe(false);
  });

  it('does not reconnect a lane if it is unknown whether the broker has the marker', async () => {
    for (const kind of ['aborted', 'late'] as const) expect(await isReconnected(() => ({ kind }))).toBe(false);
    expect(await isReconnected(() => ({ kind: 'unknown', details: '' }))).toBe(false);
    expect(await isReconnected(() => ({ kind: 'refused', permanent: false, details: '' }))).toBe(false);
  });

  it('does not reconnect a lane that has received something since, stores a batch, or has just connected', async () => {
    const later = performance.now() + 60_000;
    const cases: ((activity: LaneActivity) => void)[] = [
      (activity) => {
        activity.batchReceived([packet], later);
        activity.batchEnded();
      },
      (activity) => activity.batchReceived([], 0),
      (activity) => activity.connected(later),
      (activity) => activity.disconnected(),
    ];
    for (const act of cases) {
      const outcome = await isReconnected((activity) => {
        act(activity);
        return { kind: 'acknowledged' };
      });
      expect(outcome).toBe(false);
    }
  });

  it('reconnects a lane that receives messages by another filter only', async () => {
    const outcome = await isReconnected((activity) => {
      activity.batchReceived([{ ...packet, topic: 'cloud-connector/sentinel' }], performance.now() + 60_000);
      activity.batchEnded();
      return { kind: 'acknowledged' };
    });
    expect(outcome).toBe(true);
  });
});
