/** A failover reported by a Sentinel while a connection already asks for the new master. */
import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { eventually, quiet, startRedis, type Server as Part } from '../../../test/support/servers.js';
import { closeRedis, connectRedis, type Redis } from './redis.js';

let master: Part;
let sentinel: Sentinel;
let redis: Redis;

/**
 * A Sentinel that can be made to answer late: it speaks just enough of the protocol, for the order of its two words,
 * the failover and the address, is chance with a real one.
 */
class Sentinel {
  readonly watchers = new Set<Socket>();
  private readonly sockets = new Set<Socket>();
  asked: (answer: () => void) => void = (answer) => answer();
  private readonly server: Server;

  constructor(private readonly port: number) {
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
      this.asked(() => socket.write(bulk('127.0.0.1', `${this.port}`)));
    } else if (command.includes('subscribe')) {
      this.watchers.add(socket);
      socket.once('close', () => this.watchers.delete(socket));
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
  sentinel = new Sentinel(Number(new URL(master.url).port));
  await sentinel.start();
  redis = connectRedis(sentinel.url, { name: 'spec', whenAway: 'wait' }, quiet);
}, 30_000);

afterAll(async () => {
  await closeRedis(redis);
  await sentinel.stop();
  await master.stop();
});

it('does not end the search for the new master', async () => {
  await eventually(() => expect([redis.status, sentinel.watchers.size]).toEqual(['ready', 1]));
  const answers: (() => void)[] = [];
  sentinel.asked = (answer) => answers.push(answer);
  const watchers = [...sentinel.watchers];

  // The master's end is seen by its socket first, as after a crash.
  (redis as unknown as { stream: Socket }).stream.destroy();
  await eventually(() => expect(answers).toHaveLength(1));
  for (const watcher of watchers) if (!watcher.destroyed) watcher.write(bulk('message', '+switch-master', 'main'));
  const written = redis.set('spec:key', 'there');
  await eventually(() => expect(watchers.every(({ destroyed }) => destroyed)).toBe(true));
  answers[0]?.();

  expect(await written).toBe('OK');
});
