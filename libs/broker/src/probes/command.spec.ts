/** `cloud-connector check-broker` on brokers that fit and that do not. */
import { once } from 'node:events';
import { createServer, type Server as NetServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { connectAsync } from 'mqtt';
import { runCheckBroker, type CheckReport } from '../../../../test/support/check-broker.js';
import { ContraryBroker } from '../../../../test/support/contrary-broker.js';
import { retainStripped } from '../../../../test/support/contrary/shared-subscriptions.js';
import { freePort, startMosquitto, type Server } from '../../../../test/support/servers.js';

let mosquitto: Server;

beforeAll(async () => {
  mosquitto = await startMosquitto();
});

afterAll(() => mosquitto.stop());

describe('check-broker', () => {
  it('finds that Mosquitto fits, as JSON, and leaves nothing behind', async () => {
    const { exit, out } = await runCheckBroker(mosquitto.url, '--json');
    const report = JSON.parse(out) as CheckReport;
    expect(report.probes.filter(({ verdict }) => ['wrong', 'unknown'].includes(verdict))).toEqual([]);
    expect([exit, report.verdict]).toEqual([0, 'weaker']);
    expect(Object.keys(report)).toEqual(['url', 'checked_at', 'verdict', 'duration_ms', 'probes']);
    const order = report.probes.find(({ probe }) => probe === 'order of retained reads');
    expect(Object.keys(order ?? {})).toEqual(['probe', 'needed', 'verdict', 'found', 'meaning', 'measured']);
    expect(order?.measured).toEqual({
      ...{ topics: 200, rounds: 20, rounds_without_sentinel: 0 },
      ...{ late_in_one_subscribe: 0, late_in_two_subscribes: 0 },
    });
    expect(await retainedMessages(mosquitto.url)).toEqual([]);
  });

  it('fails behind a broker that removes the retain flag on shared subscriptions', async () => {
    const contrary = await ContraryBroker.before((mosquitto as Server & { port: number }).port, retainStripped());
    const { exit, out } = await runCheckBroker(contrary.url);
    await contrary.stop();
    expect(exit).toBe(1);
    expect(out).toContain('The service would be wrong on this broker.');
  });

  it('says in one line that a broker does not speak MQTT 5', async () => {
    const server = await oldBroker();
    const { exit, out, err } = await runCheckBroker(
      `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
      '--json',
    );
    server.close();
    expect([exit, err]).toEqual([1, '']);
    const { verdict, error } = JSON.parse(out) as CheckReport & { error: string };
    expect([verdict, error]).toEqual(['wrong', expect.stringContaining('does not speak MQTT 5')]);
  });

  it('names the cause if nobody listens at the address', async () => {
    const { exit, err } = await runCheckBroker(`mqtt://127.0.0.1:${await freePort()}`);
    expect(exit).toBe(3);
    expect(err).toMatch(/cannot connect: .*ECONNREFUSED/);
  });

  it.each([
    [[], 'URL is missing'],
    [['mqtt://a', 'b'], '"b" is one argument too many'],
    [['http://a'], 'URL must begin with mqtt:// or mqtts://'],
    [['mqtt://a', '--key-file', '/nowhere'], '--key-file'],
    [['mqtt://a', '--colour'], "Unknown option '--colour'"],
  ])('refuses %j as wrong usage', async (args, text) => {
    const { exit, err } = await runCheckBroker(...args);
    expect(exit).toBe(2);
    expect(err).toContain(text);
  });
});

/** Replies to each CONNECT as brokers of MQTT 3.1.1 do: unacceptable protocol version. */
async function oldBroker(): Promise<NetServer> {
  const server = createServer((socket) => {
    socket.once('data', () => socket.end(Buffer.from([0x20, 0x02, 0x00, 0x01])));
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** The retained messages below the topics of checks. The last SUBSCRIBE is answered after their delivery. */
async function retainedMessages(url: string): Promise<string[]> {
  const client = await connectAsync(url, { protocolVersion: 5 });
  const found: string[] = [];
  client.on('message', (topic) => found.push(topic));
  await client.subscribeAsync('cloud-connector/check/#');
  await client.subscribeAsync('another/topic');
  await client.endAsync();
  return found;
}
