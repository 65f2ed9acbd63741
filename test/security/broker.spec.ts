/** The secured broker of the examples, tried by clients that want what is not theirs; the service works through it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { MqttClient } from 'mqtt';
import { startApp, startRedis, stopAll, waitUntil, type Part } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
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
}, 60_000);

afterAll(async () => {
  await broker.stop();
  await stopAll();
  rmSync(dir, { recursive: true });
}, 30_000);

/** Publishes at QoS 1 and says what the broker answered; a refusal is what `NOT_AUTHORIZED` stands for. */
async function answerTo(client: MqttClient, topic: string, payload: string, retain = false): Promise<number> {
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

async function comeOnline(door: 'certificate' | 'password', id: string): Promise<MqttClient> {
  const client = await broker.connect(door, id);
  await client.subscribeAsync(outTopic(id), { qos: 1 });
  expect(await answerTo(client, inTopic(id), handshake(`${id}-1`), true)).toBe(0);
  await api.untilConnection(id, ({ state }) => state === 'online');
  return client;
}

describe.each(['certificate', 'password'] as const)('a client with a %s', (door) => {
  it('registers, and gets what is sent to it', async () => {
    const client = await comeOnline(door, 'victim');
    const received = new Promise<string>((resolve) => client.once('message', (topic) => resolve(topic)));
    const { body } = await api.send('victim', { directive: 'spec:ping' });
    expect(await received).toBe(outTopic('victim'));
    await api.untilStatus(body.message_id, 'sent');
    await client.endAsync();
  });

  it('cannot publish on the topic of another, nor under the name of the service', async () => {
    for (const topic of [
      inTopic('victim'),
      inTopic(''),
      outTopic('victim'),
      'cloud-connector/sentinel',
      `${group}-lane-0/last`,
    ]) {
      // Mosquitto takes nothing more on a TLS connection after a refusal.
      const attacker = await broker.connect(door, 'attacker');
      expect([topic, await answerTo(attacker, topic, handshake('forged'), true)]).toEqual([topic, NOT_AUTHORIZED]);
      attacker.end(true);
    }
    const { body } = await api.connection('victim');
    expect(body.handshake_message_id).toBe('victim-1');
  });

  it('cannot choose the id of another, or of a lane: the credentials are its id', async () => {
    const served = await laneConnects();
    for (const clientId of ['victim', `${group}-lane-0`]) {
      const attacker = await broker.connect(door, 'attacker', { clientId, clean: false });
      expect(await answerTo(attacker, inTopic('attacker'), envelope('offline'))).toBe(0);
      // Were it the victim, or the lane, this would go through.
      expect(await answerTo(attacker, inTopic('victim'), handshake('forged'), true)).toBe(NOT_AUTHORIZED);
      attacker.end(true);
    }
    expect(await laneConnects()).toBe(served);
    expect((await fetch(`${ingester.url}/health/ready`)).status).toBe(200);
  });

  it('cannot leave a last will on the topic of another', async () => {
    const victim = await comeOnline(door, 'victim');
    const will = { topic: inTopic('victim'), payload: Buffer.from(envelope('offline')), qos: 1, retain: true } as const;
    const attacker = await broker.connect(door, 'attacker', { will });
    const gone = new Promise<void>((resolve) => attacker.once('close', () => resolve()));
    attacker.stream.destroy();
    await gone;
    // Whatever the broker makes of the will, it has made before it takes the attacker in again, and this handshake.
    await comeOnline(door, 'attacker');
    expect((await api.connection('victim')).body.state).toBe('online');
    await victim.endAsync();
  });

  it('receives nothing of others, whatever it subscribes to', async () => {
    const victim = await comeOnline(door, 'victim');
    const spy = await broker.connect(door, 'attacker');
    const heard: string[] = [];
    spy.on('message', (topic) => heard.push(topic));
    for (const filter of ['#', 'redhat/insights/#', outTopic('victim'), inTopic('+'), '$SYS/#', outTopic('attacker')]) {
      await spy.subscribeAsync(filter, { qos: 1 }).catch(() => undefined);
    }
    const { body } = await api.send('victim', { directive: 'spec:secret' });
    await api.untilStatus(body.message_id, 'sent');
    await comeOnline(door, 'attacker').then((own) => own.endAsync());
    expect(heard.filter((topic) => topic !== outTopic('attacker'))).toEqual([]);
    await Promise.all([victim.endAsync(), spy.endAsync()]);
  });

  it('that guesses the name of the share group takes part in nothing', async () => {
    const attacker = await broker.connect(door, 'attacker');
    for (const guess of ['cc', 'cloud-connector', 'status-ingester']) {
      await attacker.subscribeAsync(`$share/${guess}/${inTopic('+')}`, { qos: 1 }).catch(() => undefined);
    }
    const victim = await broker.connect(door, 'victim');
    for (let i = 0; i < 10; i++) await answerTo(victim, inTopic('victim'), handshake(`victim-${door}-${i}`), true);
    await api.untilConnection('victim', (one) => one.handshake_message_id === `victim-${door}-9`);
    expect(group).toMatch(/^cc-[0-9a-f]{24}$/);
    await Promise.all([attacker.endAsync(), victim.endAsync()]);
  });
});

it('does not let in who has no credentials, or those of another door', async () => {
  await expect(broker.connect('password', 'plain', { password: 'wrong' })).rejects.toThrow('Not authorized');
  await expect(broker.connect('password', 'plain', { username: '' })).rejects.toThrow('Not authorized');
  const none = { cert: '', key: '' };
  await expect(broker.connect('certificate', 'plain', none)).rejects.toThrow();
  // A client's certificate at the service's door, with the service's own user.
  const foreign = {
    cert: readFileSync(broker.file('client-plain.crt')),
    key: readFileSync(broker.file('client-plain.key')),
  };
  await expect(broker.connect('service', 'ingester', foreign)).rejects.toThrow();
});

it('lets the ingester publish its markers, and nothing in the name of a client', async () => {
  const service = await broker.connect('service', 'ingester');
  expect(await answerTo(service, inTopic(''), 'no marker')).toBe(0);
  expect(await answerTo(service, inTopic('victim'), handshake('forged'), true)).toBe(NOT_AUTHORIZED);
  service.end(true);
});

it('gives the dispatcher less than the ingester', async () => {
  for (const topic of [inTopic('victim'), inTopic(''), 'cloud-connector/sentinel', `${group}-lane-0/last`]) {
    const client = await broker.connect('service', 'dispatcher');
    expect([topic, await answerTo(client, topic, '', true)]).toEqual([topic, NOT_AUTHORIZED]);
    client.end(true);
  }
  const dispatcher = await broker.connect('service', 'dispatcher');
  const heard: string[] = [];
  dispatcher.on('message', (topic) => heard.push(topic));
  await dispatcher.subscribeAsync(inTopic('+'), { qos: 1 }).catch(() => undefined);
  const victim = await comeOnline('certificate', 'victim');
  expect(heard).toEqual([]);
  await Promise.all([dispatcher.endAsync(), victim.endAsync()]);
});

it('uses a password that was replaced while it ran', async () => {
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

/** How often the lane has connected, by the log of its owner. */
async function laneConnects(): Promise<number> {
  return (await ingesterLog()).split('"message":"lane connected"').length - 1;
}
