/** Races between a connection through Sentinels and a failover, or the end of the connection. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { eventually, quiet, startRedis, type Server as Part } from '../../../test/support/servers.js';
import { closeRedis, connectRedis, type Redis } from './redis.js';

let master: Part;
let sentinel: Sentinel;
let redis: Redis;

/**
 * A Sentinel that speaks just enough of the protocol, and whose answers a test can delay: with a real Sentinel it is chance
 * whether the failover or the master's address arrives first.
 */
class Sentinel {
  /** Connections that are subscribed to failovers. */
  readonly subscribers = new Set<Socket>();
  private readonly sockets = new Set<Socket>();
  /** Called when a connection asks for the master's address. */
  onAddressRequest: (answer: () => void) => void = (answer) => answer();
  private readonly server: Server;

  constructor(private readonly masterPort: number) {
    this.server = createServer((socket) => {
      this.sockets.add(socket);
      socket.on('data', (data) => {
        for (const command of data
          .toString()
          .split(/^\*\d+\r\n/m)
          .slice(1))
          this.answer(socket, command.toLowerCase());
      });
    });
  }

  async start(): Promise<void> {
    await once(this.server.listen(0, '127.0.0.1'), 'listening');
  }

  get url(): string {
    return `redis+sentinel://127.0.0.1:${(this.server.address() as AddressInfo).port}/main`;
  }

  private answer(socket: Socket, command: string): void {
    if (command.includes('get-master-addr-by-name')) {
      this.onAddressRequest(() => socket.write(bulk('127.0.0.1', `${this.masterPort}`)));
    } else if (command.includes('subscribe')) {
      this.subscribers.add(socket);
      socket.once('close', () => this.subscribers.delete(socket));
      socket.write(`*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n`);
    } else if (command.includes('sentinels')) {
      socket.write('*0\r\n');
    } else {
      socket.write('+OK\r\n');
    }
  }

  stop(): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.server.close(() => resolve()));
    for (const socket of this.sockets) socket.destroy();
    return stopped;
  }
}

function bulk(...words: string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}

beforeAll(async () => {
  master = await startRedis();
});

beforeEach(async () => {
  sentinel = new Sentinel(Number(new URL(master.url).port));
  await sentinel.start();
  redis = connectRedis(sentinel.url, { name: 'spec', whenAway: 'wait' }, quiet);
});

afterEach(async () => {
  await closeRedis(redis);
  await sentinel.stop();
});

afterAll(() => master.stop());

it('a connection that already asks for the new master finds it, even if the failover is reported late', async () => {
  await eventually('the connection is ready and subscribed to failovers', () =>
    expect([redis.status, sentinel.subscribers.size]).toEqual(['ready', 1]),
  );
  const answers: (() => void)[] = [];
  sentinel.onAddressRequest = (answer) => answers.push(answer);
  const subscribers = [...sentinel.subscribers];

  // The connection notices the master's end before the Sentinels do, as after a crash.
  (redis as unknown as { stream: Socket }).stream.destroy();
  await eventually('the connection asks for the new master', () => expect(answers).toHaveLength(1));
  for (const subscriber of subscribers)
    if (!subscriber.destroyed) subscriber.write(bulk('message', '+switch-master', 'main'));
  const written = redis.set('spec:key', 'there');
  await eventually('the old subscriptions have ended', () =>
    expect(subscribers.every(({ destroyed }) => destroyed)).toBe(true),
  );
  answers[0]?.();

  expect(await written).toBe('OK');
});

it('a connection that is ended while it connects to the master does not subscribe to failovers', async () => {
  const { connector } = redis as unknown as { connector: { stream?: Socket; failoverDetector: unknown } };
  while (connector.stream?.connecting !== true) await turn();
  const connected = once(connector.stream, 'connect');
  const ended = once(redis, 'end');
  redis.disconnect();
  await Promise.all([connected, ended]);
  expect(connector.failoverDetector === null).toBe(true);
});
