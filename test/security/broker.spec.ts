/** The secured broker of the examples: clients try to use topics of others, and the service works with it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { MqttClient } from 'mqtt';
import { startApp, startRedis, stopAll, waitUntil, type Part } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { readAppLog } from '../support/app-log.js';
import { envelope } from '../support/mqtt-client.js';
import { SecuredMosquitto } from '../support/secured-mosquitto.js';

const NOT_AUTHORIZED = 135;
const inTopic = (id: string): string => `redhat/insights/in/${id}`;
const outTopic = (id: string): string => `redhat/insights/out/${id}`;

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-security-'));
let broker: SecuredMosquitto;
let api: Api;
let ingester: Part & { url: string };
let group: string;

beforeAll(async () => {
  const [redis, secured] = await Promise.all([
    startRedis({ dir }),
    SecuredMosquitto.start(dir, ['victim', 'attacker', 'plain']),
  ]);
  broker = secured;
  const env = { REDIS_URL: redis.url };
  const [gateway, first] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env: { ...env, ...broker.settingsOf('ingester') } }),
    startApp('dispatcher', { dir, env: { ...env, ...broker.settingsOf('dispatcher') } }),
  ]);
  api = new Api(gateway.url);
  ingester = first;
  const store = new Redis(redis.url);
  group = (await store.hget('cc:marker', 'share_group')) ?? '';
  store.disconnect();
});

afterAll(async () => {
  await broker.stop();
  await stopAll();
  rmSync(dir, { recursive: true });
});

/** Publishes at QoS 1. @returns the reason code of the broker; `NOT_AUTHORIZED` is a refusal */
async function reasonCodeOf(client: MqttClient, topic: string, payload: string, retain = false): Promise<number> {
  try {
    const packet = await client.publishAsync(topic, payload, { qos: 1, retain });
    return (packet as { reasonCode?: number } | undefined)?.reasonCode ?? 0;
  } catch (error) {
    return (error as { code: number }).code;
  }
}

function handshake(messageId: string): string {
  const payload = { canonical_facts: { fqdn: `${messageId}.example.com` } };
  return envelope('host-handshake', { message_id: messageId, payload });
}

async function comeOnline(listener: 'certificate' | 'password', id: string): Promise<MqttClient> {
  const client = await broker.connect(listener, id);
  await client.subscribeAsync(outTopic(id), { qos: 1 });
  expect(await reasonCodeOf(client, inTopic(id), handshake(`${id}-1`), true)).toBe(0);
  await api.untilConnection(id, ({ state }) => state === 'online');
  return client;
}

describe.each(['certificate', 'password'] as const)('a client with a %s', (listener) => {
  it('registers, and receives its messages', async () => {
    const client = await comeOnline(listener, 'victim');
    const received = new Promise<string>((resolve) => client.once('message', (topic) => resolve(topic)));
    const { body } = await api.send('victim', { directive: 'spec:ping' });
    expect(await received).toBe(outTopic('victim'));
    await api.untilStatus(body.message_id, 'sent');
    await client.endAsync();
  });

  it('cannot publish to a topic of another client or of the service', async () => {
    for (const topic of [
      inTopic('victim'),
      inTopic(''),
      outTopic('victim'),
      'cloud-connector/sentinel',
      'cloud-connector/check/forged/plain',
      `${group}-lane-0/last`,
    ]) {
      // After a refusal Mosquitto accepts nothing more on a TLS connection.
      const attacker = await broker.connect(listener, 'attacker');
      expect([topic, await reasonCodeOf(attacker, topic, handshake('forged'), true)]).toEqual([topic, NOT_AUTHORIZED]);
      attacker.end(true);
    }
    const { body } = await api.connection('victim');
    expect(body.handshake_message_id).toBe('victim-1');
  });

  it('cannot connect with the id of another client or of a lane: its credentials are its id', async () => {
    const served = await laneConnects();
    for (const clientId of ['victim', `${group}-lane-0`]) {
      const attacker = await broker.connect(listener, 'attacker', { clientId, clean: false });
      expect(await reasonCodeOf(attacker, inTopic('attacker'), envelope('offline'))).toBe(0);
      // As the victim or as the lane it would be accepted.
      expect(await reasonCodeOf(attacker, inTopic('victim'), handshake('forged'), true)).toBe(NOT_AUTHORIZED);
      attacker.end(true);
    }
    expect(await laneConnects()).toBe(served);
    const ready = async (): Promise<void> => expect((await fetch(`${ingester.url}/health/ready`)).status).toBe(200);
    await waitUntil(ready, { what: 'a ready ingester' });
  });

  it('cannot set a last will on the topic of another client', async () => {
    const victim = await comeOnline(listener, 'victim');
    const will = { topic: inTopic('victim'), payload: Buffer.from(envelope('offline')), qos: 1, retain: true } as const;
    const attacker = await broker.connect(listener, 'attacker', { will });
    const gone = new Promise<void>((resolve) => attacker.once('close', () => resolve()));
    attacker.stream.destroy();
    await gone;
    // The broker has handled the will before it accepts the next connection of the attacker, and this handshake.
    await comeOnline(listener, 'attacker');
    expect((await api.connection('victim')).body.state).toBe('online');
    await victim.endAsync();
  });

  it('receives no message of others, whatever it subscribes to', async () => {
    const victim = await comeOnline(listener, 'victim');
    const spy = await broker.connect(listener, 'attacker');
    const received: string[] = [];
    spy.on('message', (topic) => received.push(topic));
    for (const filter of ['#', 'redhat/insights/#', outTopic('victim'), inTopic('+'), '$SYS/#', outTopic('attacker')]) {
      await spy.subscribeAsync(filter, { qos: 1 }).catch(() => undefined);
    }
    const { body } = await api.send('victim', { directive: 'spec:secret' });
    await api.untilStatus(body.message_id, 'sent');
    await comeOnline(listener, 'attacker').then((own) => own.endAsync());
    expect(received.filter((topic) => topic !== outTopic('attacker'))).toEqual([]);
    await Promise.all([victim.endAsync(), spy.endAsync()]);
  });

  it('that guesses the name of the share group receives no share of the messages', async () => {
    const attacker = await broker.connect(listener, 'attacker');
    for (const guess of ['cc', 'cloud-connector', 'status-ingester']) {
      await attacker.subscribeAsync(`$share/${guess}/${inTopic('+')}`, { qos: 1 }).catch(() => undefined);
    }
    const victim = await broker.connect(listener, 'victim');
    for (let i = 0; i < 10; i++)
      await reasonCodeOf(victim, inTopic('victim'), handshake(`victim-${listener}-${i}`), true);
    await api.untilConnection('victim', (one) => one.handshake_message_id === `victim-${listener}-9`);
    expect(group).toMatch(/^cc-[0-9a-f]{24}$/);
    await Promise.all([attacker.endAsync(), victim.endAsync()]);
  });
});

it('the broker refuses a connection without credentials, or with those of another listener', async () => {
  await expect(broker.connect('password', 'plain', { password: 'wrong' })).rejects.toThrow('Not authorized');
  await expect(broker.connect('password', 'plain', { username: '' })).rejects.toThrow('Not authorized');
  const none = { cert: '', key: '' };
  await expect(broker.connect('certificate', 'plain', none)).rejects.toThrow();
  // The certificate of a client at the listener of the service, with the user of the service.
  const foreign = {
    cert: readFileSync(broker.file('client-plain.crt')),
    key: readFileSync(broker.file('client-plain.key')),
  };
  await expect(broker.connect('service', 'ingester', foreign)).rejects.toThrow();
});

it('the broker lets the ingester publish its markers, and nothing to the topic of a client', async () => {
  const service = await broker.connect('service', 'ingester');
  expect(await reasonCodeOf(service, inTopic(''), 'no marker')).toBe(0);
  expect(await reasonCodeOf(service, inTopic('victim'), handshake('forged'), true)).toBe(NOT_AUTHORIZED);
  service.end(true);
});

it('the broker lets the dispatcher publish and subscribe to less than the ingester', async () => {
  for (const topic of [
    inTopic('victim'),
    inTopic(''),
    'cloud-connector/sentinel',
    'cloud-connector/check/forged/plain',
    `${group}-lane-0/last`,
  ]) {
    const client = await broker.connect('service', 'dispatcher');
    expect([topic, await reasonCodeOf(client, topic, '', true)]).toEqual([topic, NOT_AUTHORIZED]);
    client.end(true);
  }
  const dispatcher = await broker.connect('service', 'dispatcher');
  const received: string[] = [];
  dispatcher.on('message', (topic) => received.push(topic));
  await dispatcher.subscribeAsync(inTopic('+'), { qos: 1 }).catch(() => undefined);
  const victim = await comeOnline('certificate', 'victim');
  expect(received).toEqual([]);
  await Promise.all([dispatcher.endAsync(), victim.endAsync()]);
});

it('the broker lets the ingester check all that it needs', () => {
  const lines = readAppLog(ingester.log);
  const checked = lines.filter(({ message }) => message === 'checked the broker');
  expect(checked[0]).toMatchObject({ no_subscriber_signal: true, absence_provable: true });
  expect(lines.filter(({ message }) => message.includes('does not allow'))).toEqual([]);
});

it('the ingester uses a password that is replaced while it runs', async () => {
  const before = await laneConnects();
  const path = broker.file('ingester.password');
  const password = readFileSync(path, 'utf8');
  writeFileSync(path, 'not the password any more');
  await broker.restart();
  await waitUntil(async () => expect(await ingesterLog()).toContain('Not authorized'), { what: 'a refusal' });
  writeFileSync(path, password);
  await waitUntil(async () => expect(await laneConnects()).toBeGreaterThan(before), { what: 'the lane to be back' });
  await comeOnline('certificate', 'victim').then((client) => client.endAsync());
});

function ingesterLog(): Promise<string> {
  return Promise.resolve(readFileSync(ingester.log, 'utf8'));
}

/** How often the lane has connected, according to the log of its owner. */
async function laneConnects(): Promise<number> {
  return (await ingesterLog()).split('"message":"lane connected"').length - 1;
}
