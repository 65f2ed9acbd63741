/** `npm start` survives that another process takes a port which it has chosen. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ownServers, ownServersHint } from '../../scripts/own-servers.mjs';
import { Ports } from '../../scripts/ports.mjs';
import { freePort, isPortFree, launch, ping } from '../../scripts/stack.mjs';

const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-ports-'));
const file = join(dir, 'ports.json');
const others: Server[] = [];
const lines: string[] = [];
const tried: number[] = [];

beforeEach(() => {
  lines.length = 0;
  tried.length = 0;
  rmSync(file, { force: true });
});
afterEach(async () => {
  await Promise.all(others.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});
afterAll(() => rmSync(dir, { recursive: true }));

const portsWith = (env: Record<string, string> = {}): Ports => new Ports(env, (line) => lines.push(line), file);

function take(port: number): Promise<void> {
  const server = createServer();
  others.push(server);
  return new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
}

/** A server that ends before it is ready, like one whose port is taken. */
async function fails(port: number): Promise<number> {
  tried.push(port);
  await launch('server', process.execPath, ['-e', 'process.exit(1)'], { dir }).until(() =>
    Promise.reject(new Error('not ready')),
  );
  return port;
}

/** Another process takes the port first, `times` times. */
const losing =
  (times: number) =>
  async (port: number): Promise<number> => {
    if (tried.length >= times) return port;
    await take(port);
    return fails(port);
  };

it('a server whose port another process has taken first starts on the next one', async () => {
  const byDefault = await freePort();
  const port = await portsWith().start('GATEWAY_PORT', byDefault, losing(2));
  expect(tried).toHaveLength(2);
  expect(port).toBeGreaterThan(Math.max(...tried));
  expect(lines).toEqual([`Port ${byDefault} is taken, using ${port} (GATEWAY_PORT sets another).`]);
});

it('the next start takes the same port if it is free, also if the default is free again', async () => {
  const byDefault = await freePort();
  await take(byDefault);
  const start = (env?: Record<string, string>): Promise<number> =>
    portsWith(env).start('GATEWAY_PORT', byDefault, (port) => Promise.resolve(port));
  const first = await start();
  others.splice(0).forEach((server) => server.close());
  lines.length = 0;
  expect(await start()).toBe(first);
  expect(lines).toEqual([]);
  const set = await freePort();
  expect(await start({ GATEWAY_PORT: `${set}` })).toBe(set);
  await take(first);
  const other = await start();
  expect(other).not.toBe(first);
  expect(lines).toEqual([`Port ${first} is taken, using ${other} (GATEWAY_PORT sets another).`]);
});

it('a file of ports that cannot be read is said, and the ports are chosen again', async () => {
  writeFileSync(file, '{');
  const byDefault = await freePort();
  expect(await portsWith().start('GATEWAY_PORT', byDefault, (port) => Promise.resolve(port))).toBe(byDefault);
  expect(lines).toEqual([expect.stringContaining(`${file} cannot be read`)]);
});

it('servers of the user are named, without a password, and how to have one started', () => {
  const env = { MQTT_URL: 'mqtt://user:secret@broker.example.com:1884', REDIS_URL: '' };
  expect(ownServers(env)).toEqual(['MQTT_URL is set: using the broker at broker.example.com:1884, none is started.']);
  expect(ownServersHint(env)).toContain('unset it to have one started');
  expect([ownServers({}), ownServersHint({})]).toEqual([[], '']);
});

it('a server is not ready as long as another process listens on its port', async () => {
  const port = await freePort();
  await take(port);
  const part = launch('server', process.execPath, ['-e', 'setInterval(() => undefined, 1000)'], { dir });
  let checks = 0;
  const ready = part.answers(port, async () => {
    await ping(port);
    if (++checks === 2) await part.kill();
  });
  await expect(ready).rejects.toThrow('server ended (SIGKILL) before it was ready');
});

it('a server is ready when it listens on its port itself', async () => {
  const port = await freePort();
  const program = `require('node:net').createServer().listen(${port}, '127.0.0.1')`;
  const part = launch('server', process.execPath, ['-e', program], { dir });
  expect(await part.answers(port, () => ping(port))).toBe(part);
  await part.stop();
});

it('it does not try for ever', async () => {
  const start = portsWith().start('GATEWAY_PORT', await freePort(), losing(Infinity));
  await expect(start).rejects.toThrow('before it was ready');
  expect(tried).toHaveLength(5);
});

it('a server that ends for another reason is not started again', async () => {
  await expect(portsWith().start('GATEWAY_PORT', await freePort(), fails)).rejects.toThrow('before it was ready');
  expect(tried).toHaveLength(1);
});

it('a port that the user has set is the only one', async () => {
  const port = await freePort();
  const ports = portsWith({ GATEWAY_PORT: `${port}` });
  await expect(ports.start('GATEWAY_PORT', 3000, losing(1))).rejects.toThrow('before it was ready');
  await expect(ports.start('GATEWAY_PORT', 3000, fails)).rejects.toThrow(`GATEWAY_PORT=${port} is taken`);
  expect(tried).toEqual([port]);
});

it('no server gets the port of another one, nor one that the user has set for another one', async () => {
  const byDefault = await freePort();
  const set = byDefault + 1;
  const ports = portsWith({ INGESTER_PORT: `${set}` });
  const started = await Promise.all(
    ['GATEWAY_PORT', 'DISPATCHER_PORT', 'MQTT_PORT'].map((one) =>
      ports.start(one, byDefault, (port) => Promise.resolve(port)),
    ),
  );
  expect(new Set(started).size).toBe(3);
  expect(started).not.toContain(set);
  expect(await isPortFree(byDefault)).toBe(true);
});
