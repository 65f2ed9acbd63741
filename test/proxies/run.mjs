/**
 * `npm run test:proxies`: the samples of `examples/reverse-proxy`, each with the real proxy in front of a gateway with keys. A proxy that
 * is not installed is not run, and that is no failure.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { openSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { runPrivately } from '../../scripts/private-run.mjs';
import {
  ROOT,
  SERVERS,
  SetupError,
  ensureBuild,
  ensurePackages,
  ensurePrograms,
  findProgram,
} from '../../scripts/setup.mjs';
import { freePort, startFleet, startStack, waitUntil } from '../../scripts/stack.mjs';

/** Where the samples listen, whom they ask, and where their certificates are: the test puts its own in place. */
const PLACES = { port: ':443', gateway: '127.0.0.1:3000', folder: '/etc/ssl/connector' };
const DEVICE = 'device-0001';
/** Another address of loopback than that of the proxy: the audit log must show this one. */
const CALLER = '127.0.0.2';
const FORGED = '203.0.113.9';

/**
 * @typedef {object} Sample
 * @property {string} program
 * @property {string} file
 * @property {(config: string) => string} whole a configuration that runs without root, of the sample
 * @property {(config: string, dir: string) => string[]} args
 */

/** @type {Sample[]} */
const SAMPLES = [
  {
    program: 'nginx',
    file: 'nginx.conf',
    whole: (config) =>
      `${process.getuid?.() === 0 ? 'user root; ' : ''}daemon off; error_log stderr; pid nginx.pid; events {}\nhttp { access_log off;
      client_body_temp_path body; proxy_temp_path proxied; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
      ${config.replace(/listen 443/, 'listen :443').replace(/listen :/, 'listen 127.0.0.1:')} }`,
    args: (file, dir) => ['-p', dir, '-c', file],
  },
  { program: 'haproxy', file: 'haproxy.cfg', whole: (config) => config, args: (file) => ['-db', '-f', file] },
  {
    program: 'caddy',
    file: 'Caddyfile',
    whole: (config) => `{\n admin off\n auto_https disable_redirects\n}\n${config}`,
    args: (file) => ['run', '--adapter', 'caddyfile', '--config', file],
  },
];

const installed = SAMPLES.filter(({ program }) => findProgram(program) !== undefined);
for (const { program } of SAMPLES.filter((sample) => !installed.includes(sample)))
  console.log(`not run: no ${program}`);
if (installed.length > 0) await runPrivately('proxies', main);

/** @param {string} dir */
async function main(dir) {
  ensurePackages('run');
  ensurePrograms([...SERVERS, 'openssl']);
  ensureBuild();
  const keys = join(dir, 'keys.json');
  const key = command(process.execPath, [
    'scripts/key.mjs',
    'create',
    '--id',
    'app',
    '--scopes',
    'all',
    '--file',
    keys,
  ]);
  certificate(dir);
  const { gateway, mosquitto } = await startStack({ dir, env: { API_KEYS_FILE: keys, TRUSTED_PROXIES: '127.0.0.1' } });
  startFleet({ dir, count: 1, mqttUrl: mosquitto.url });
  for (const sample of installed) {
    const port = await freePort();
    const proxy = start(sample, dir, { port, gateway: gateway.url.replace('http://', '') });
    try {
      await check({ port, authorization: `Bearer ${key.trim()}` }, gateway.log);
      console.log(`${sample.program}: requests, waits, events and addresses come through.`);
    } catch (error) {
      console.error(readFileSync(join(dir, `${sample.program}.log`), 'utf8'));
      throw error;
    } finally {
      proxy.kill();
      if (proxy.exitCode === null && proxy.signalCode === null) await once(proxy, 'exit');
    }
  }
}

/** @param {string} program @param {string[]} args @returns {string} what it prints */
function command(program, args) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: ROOT, encoding: 'utf8' });
  if (status !== 0) throw new SetupError(`${program} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** @param {string} dir */
function certificate(dir) {
  const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const subject = ['-subj', '/CN=connector.example.com', '-addext', 'subjectAltName=DNS:connector.example.com'];
  command('openssl', [
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-days',
    '2',
    '-keyout',
    key,
    '-out',
    cert,
    ...subject,
  ]);
  writeFileSync(join(dir, 'cert-and-key.pem'), readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'));
}

/** @param {Sample} sample @param {string} dir @param {{ port: number, gateway: string }} places */
function start({ program, file, whole, args }, dir, { port, gateway }) {
  const sample = whole(readFileSync(join(ROOT, 'examples/reverse-proxy', file), 'utf8'));
  for (const place of Object.values(PLACES)) {
    if (!sample.includes(place)) throw new Error(`${file} does not name ${place}`);
  }
  const config = join(dir, file);
  const filled = sample
    .replaceAll(PLACES.port, `:${port}`)
    .replaceAll(PLACES.gateway, gateway)
    .replaceAll(PLACES.folder, dir);
  writeFileSync(config, filled);
  const env = { ...process.env, HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir };
  const proxy = spawn(findProgram(program) ?? program, args(config, dir), {
    env,
    stdio: ['ignore', 'ignore', openSync(join(dir, `${program}.log`), 'w')],
  });
  process.once('exit', () => proxy.kill());
  return proxy;
}

/** @typedef {{ port: number, authorization: string }} Proxy */

/** @param {Proxy} proxy @param {string} log of the gateway */
async function check(proxy, log) {
  const connection = await waitUntil(async () => {
    const { status, body } = await ask(proxy, 'GET', `/v1/connections/${DEVICE}`);
    if (status !== 200 || JSON.parse(body).state !== 'online') throw new Error(`${status} ${body}`);
    return status;
  });
  expect(connection === 200, 'a GET is answered');

  const unknown = await ask(proxy, 'GET', '/v1/connections/no%20such%3Fclient%25');
  expect(unknown.body.includes('no such?client%'), `a client id arrives as it was written: ${unknown.body}`);

  const large = 'x'.repeat(1_000_000);
  const messages = Array.from({ length: 5 }, () => ({ client_id: DEVICE, directive: 'demo:ping', payload: large }));
  const taken = await send(proxy, '/v1/messages', { messages });
  expect(taken.status === 200, `a batch of 5 MB is accepted: ${taken.status} ${taken.body.slice(0, 300)}`);

  const events = await follow(proxy);
  const sent = await send(
    proxy,
    `/v1/connections/${DEVICE}/messages`,
    { directive: 'demo:ping' },
    { prefer: 'wait=30', 'x-forwarded-for': FORGED },
  );
  const { message_id: id, status } = JSON.parse(sent.body);
  expect(status === 'answered', `a call is answered: ${sent.body}`);
  // The stream stays open: without an event that passes at once, this waits until the test gives up.
  await events.until(id);
  events.end();

  const audit = await waitUntil(() => {
    const line = readFileSync(log, 'utf8')
      .split('\n')
      .find((text) => text.includes(id) && text.includes('"audit":true'));
    if (line === undefined) throw new Error('no line');
    return line;
  });
  expect(audit.includes(`"address":"${CALLER}"`), `the audit log has the address of the caller: ${audit}`);
}

/** @param {boolean} holds @param {string} what */
function expect(holds, what) {
  if (!holds) throw new Error(`not so: ${what}`);
}

/** @param {Proxy} proxy @param {string} method @param {string} path @param {import('node:http').OutgoingHttpHeaders} headers */
function open({ port, authorization }, method, path, headers = {}) {
  return request({
    host: '127.0.0.1',
    port,
    method,
    path,
    localAddress: CALLER,
    agent: false,
    servername: 'connector.example.com',
    rejectUnauthorized: false,
    headers: { host: 'connector.example.com', authorization, ...headers },
  });
}

/** @param {Proxy} proxy @param {string} method @param {string} path */
async function ask(proxy, method, path) {
  const call = open(proxy, method, path);
  call.end();
  return bodyOf(call);
}

/** @param {Proxy} proxy @param {string} path @param {unknown} message @param {import('node:http').OutgoingHttpHeaders} [headers] */
async function send(proxy, path, message, headers) {
  const body = JSON.stringify(message);
  const length = Buffer.byteLength(body);
  const all = { ...headers, 'content-type': 'application/json', 'content-length': length };
  const call = open(proxy, 'POST', path, all);
  call.end(body);
  return bodyOf(call);
}

/** @param {import('node:http').ClientRequest} call */
async function bodyOf(call) {
  /** @type {[import('node:http').IncomingMessage]} */
  const [response] = await /** @type {any} */ (once(call, 'response'));
  const chunks = await response.toArray();
  return { status: response.statusCode, body: Buffer.concat(chunks).toString() };
}

/** @param {Proxy} proxy @returns an event stream; `until` resolves once it has brought a text */
async function follow(proxy) {
  const call = open(proxy, 'GET', '/v1/events?types=message.status');
  call.end();
  /** @type {[import('node:http').IncomingMessage]} */
  const [response] = await /** @type {any} */ (once(call, 'response'));
  expect(response.statusCode === 200, `the event stream begins: ${response.statusCode}`);
  let text = '';
  response.setEncoding('utf8').on('data', (/** @type {string} */ chunk) => (text += chunk));
  return {
    until: (/** @type {string} */ what) =>
      waitUntil(() => expect(text.includes(what), 'the event comes'), { what: 'the event of the message' }),
    end: () => call.destroy(),
  };
}
