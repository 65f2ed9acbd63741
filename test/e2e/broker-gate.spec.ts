/** An app refuses to start on a broker that lacks what it needs: exit code 1, and one fatal line with the cause and the remedy. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ROOT } from '../../scripts/setup.mjs';
import { freePort, launch, startApp, startMosquitto, startRedis, stopAll, type AppName } from '../../scripts/stack.mjs';
import { Api } from '../support/api.js';
import { readAppLog } from '../support/app-log.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import type { Behaviour } from '../support/contrary/behaviour.js';
import { granted } from '../support/contrary/connects.js';
import { retainStripped, sharedRefused } from '../support/contrary/shared-subscriptions.js';
import { TestClient } from '../support/mqtt-client.js';
import { startOlderBroker } from '../support/older-broker.js';
import { eventually } from '../support/servers.js';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-broker-gate-'));
let redisUrl: string;
let mosquittoPort: number;
let mosquittoUrl: string;

beforeAll(async () => {
  const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  [redisUrl, mosquittoPort, mosquittoUrl] = [redis.url, mosquitto.port, mosquitto.url];
});

afterAll(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

interface Refusal {
  code: number | string;
  /** Its fatal lines. */
  fatal: string[];
}

let apps = 0;

/** Starts an app that has to end by itself. */
async function refusedStart(app: AppName, brokerUrl: string): Promise<Refusal> {
  const part = launch(`refused-${++apps}`, process.execPath, [join(ROOT, `dist/apps/${app}/src/main.js`)], {
    dir,
    env: { NODE_ENV: 'development', PORT: '0', HOST: '127.0.0.1', REDIS_URL: redisUrl, MQTT_URL: brokerUrl },
  });
  const code = await part.ended;
  const fatal = readAppLog(part.log).filter(({ level }) => level === 'fatal');
  return { code, fatal: fatal.map(({ message }) => message) };
}

async function npmStart(folder: string, mqttUrl: string): Promise<ChildProcessByStdio<null, null, Readable>> {
  const ports = Object.fromEntries(
    await Promise.all(['GATEWAY', 'INGESTER', 'DISPATCHER'].map(async (app) => [`${app}_PORT`, `${await freePort()}`])),
  ) as Record<string, string>;
  return spawn(process.execPath, [join(ROOT, 'scripts/start.mjs')], {
    env: { ...process.env, ...ports, DATA_DIR: join(dir, folder), REDIS_URL: redisUrl, MQTT_URL: mqttUrl },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

const lineOf = (url: string, text: string): string => `the broker at ${url} ${text}`;

describe('a start on a broker that lacks what the service needs', () => {
  it.each<[string, Behaviour, string]>([
    [
      'strips the retain flag on shared subscriptions',
      retainStripped(),
      'does not keep the retain flag on shared subscriptions (Retain As Published): use a broker that does, such as Mosquitto 2',
    ],
    [
      'refuses shared subscriptions',
      sharedRefused,
      'does not deliver to shared subscriptions: allow them in its configuration, or use a broker such as Mosquitto 2',
    ],
    [
      'keeps no retained messages',
      granted({ retainAvailable: false }),
      'does not keep retained messages: allow them in its configuration, or use a broker such as Mosquitto 2',
    ],
  ])('ends an ingester with one line if the broker %s', async (_, behaviour, text) => {
    const contrary = await ContraryBroker.before(mosquittoPort, behaviour);
    const refusal = await refusedStart('status-ingester', contrary.url);
    expect(refusal).toEqual({ code: 1, fatal: [lineOf(contrary.url, text)] });
    await contrary.stop();
  });

  it('ends both apps with one line if the broker speaks MQTT 3.1.1 only', async () => {
    const older = await startOlderBroker();
    const refusals = await Promise.all([
      refusedStart('status-ingester', older.url),
      refusedStart('dispatcher', older.url),
    ]);
    const fatal = [lineOf(older.url, 'does not support MQTT 5: use a broker with MQTT 5, such as Mosquitto 2')];
    expect(refusals).toEqual([
      { code: 1, fatal },
      { code: 1, fatal },
    ]);
    await older.stop();
  });

  it('makes npm start print that line and stop', async () => {
    const older = await startOlderBroker();
    const child = await npmStart('npm-start', older.url);
    let printed = '';
    child.stderr.on('data', (data: Buffer) => (printed += data.toString()));
    const code = await new Promise((resolve) => child.once('close', resolve));
    // On a slow machine an app says before that it is not ready.
    const lines = printed.split('\n').filter((line) => line.includes(' did not start: '));
    const text = lineOf(older.url, 'does not support MQTT 5: use a broker with MQTT 5, such as Mosquitto 2');
    expect(lines.map((line) => line.replace(/^(status-ingester|dispatcher) /, ''))).toEqual([`did not start: ${text}`]);
    expect(printed).not.toContain('    at ');
    expect(code).toBe(1);
    await older.stop();
  });
});

describe('a start on a broker that refuses the credentials', () => {
  it('makes npm start print what the readiness of the app says, while it waits', async () => {
    const passwords = join(dir, 'passwords');
    writeFileSync(passwords, '');
    const strict = await startMosquitto({
      dir: join(dir, 'strict'),
      config: ['allow_anonymous false', `password_file ${passwords}`],
    });
    const child = await npmStart('not-authorized', strict.url);
    let printed = '';
    const isPrinted = new Promise<void>((resolve) => {
      child.stderr.on('data', (data: Buffer) => {
        printed += data.toString();
        if (/(status-ingester|dispatcher) is not ready: .*broker: .*not authorized/i.test(printed)) resolve();
      });
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    await isPrinted;
    child.kill('SIGTERM');
    expect(printed).not.toContain('    at ');
    expect(await ended).toBe(0);
    await strict.stop();
  });
});

describe('a broker that lacks something when it comes back', () => {
  it('gets no lane, so no device is told to go away, until it has all again', async () => {
    const contrary = await ContraryBroker.before(mosquittoPort);
    const env = { REDIS_URL: redisUrl, MQTT_URL: contrary.url };
    const [gateway, ingester] = await Promise.all([
      startApp('api-gateway', { dir, env }),
      startApp('status-ingester', { dir, env }),
    ]);
    const api = new Api(gateway.url);
    const before = await TestClient.connect(mosquittoUrl, 'before');
    await before.shakeHands();
    await api.untilConnection('before', ({ state }) => state === 'online');

    contrary.behave(retainStripped());
    contrary.cut();
    const problem = lineOf(contrary.url, 'does not keep the retain flag on shared subscriptions');
    await eventually('the ingester is unready with the cause', async () => {
      const response = await fetch(`${ingester.url}/health/ready`);
      expect([response.status, await response.text()]).toEqual([503, expect.stringContaining(problem)]);
    });
    const second = await before.shakeHands({ fqdn: 'second.example.com' });
    const after = await TestClient.connect(mosquittoUrl, 'after');
    await after.shakeHands();

    contrary.behave();
    await api.untilConnection('before', ({ handshake_message_id }) => handshake_message_id === second);
    await api.untilConnection('after', ({ state }) => state === 'online');
    await eventually('the ingester is ready', async () =>
      expect((await fetch(`${ingester.url}/health/ready`)).status).toBe(200),
    );
    expect([...before.received, ...after.received]).toEqual([]);
    const errors = readAppLog(ingester.log).filter(({ level }) => level === 'error');
    expect(errors.map(({ message }) => message)).toEqual([expect.stringContaining(problem)]);

    await Promise.all([before.sayGoodbye(), after.sayGoodbye(), ingester.stop(), gateway.stop()]);
    await contrary.stop();
  });
});
