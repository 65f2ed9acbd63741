import { RedisForbiddenError, connectRedis, type Redis } from '@app/platform';
import { blockedClient, blockForever } from '../../../test/support/owner-loop.js';
import { Proxy } from '../../../test/support/proxy.js';
import { withRedis } from '../../../test/support/redis.js';
import { eventually, quiet, type Server } from '../../../test/support/servers.js';
import { BlockingReader } from './blocking-reader.js';

interface Entry {
  id: string;
  text: string;
}

const KEY = 'stream';
const STREAMS = { key: () => KEY, decode: (id: string, [, text = '']: readonly string[]): Entry => ({ id, text }) };
const AT_ONCE = { count: 10, recordRead: () => 0 };
const POSITIONS = new Map([[0, '0-0']]);

let control: Redis;
let server: Server;
let connection: Redis;
let reader: BlockingReader<Entry>;
let read: Entry[];

withRedis((connected, started) => {
  control = connected;
  server = started;
});

beforeEach(async () => {
  await control.del(KEY);
  read = [];
  connection = connectRedis(server.url, { name: 'spec-blocking', whenAway: 'wait' }, quiet);
  blockForever(connection);
  reader = new BlockingReader(connection, STREAMS, AT_ONCE, control);
});

afterEach(() => connection.disconnect());

function readOnce(): Promise<void> {
  return reader.read(POSITIONS, (_, entries) => {
    read.push(...entries);
    return Promise.resolve();
  });
}

const blocked = (): Promise<string> => blockedClient(control, 'spec-blocking');

describe('a blocking read', () => {
  it('ends when an entry arrives', async () => {
    const reading = readOnce();
    await blocked();
    await control.xadd(KEY, '*', 'text', 'x');
    await reading;
    expect(read.map(({ text }) => text)).toEqual(['x']);
  });

  it('begins after what the batch of the one before has written was sent', async () => {
    const order: string[] = [];
    const xread = jest.spyOn(connection, 'xread').mockImplementation(() => {
      order.push('read');
      return Promise.resolve([[KEY, [['1-0', ['text', 'x']]]]]);
    });
    const writes = (): Promise<void> => {
      // As MQTT.js, which sends its packets then.
      process.nextTick(() => order.push('sent'));
      return Promise.resolve();
    };
    await reader.read(POSITIONS, writes);
    await reader.read(POSITIONS, writes);
    xread.mockRestore();
    expect(order).toEqual(['read', 'sent', 'read', 'sent']);
  });

  it('ends without entries when it is interrupted, and the next one reads what came in the meantime', async () => {
    const reading = readOnce();
    await blocked();
    reader.interrupt();
    await reading;
    expect(read).toEqual([]);
    await control.xadd(KEY, '*', 'text', 'x');
    await readOnce();
    expect(read.map(({ text }) => text)).toEqual(['x']);
  });

  it('can be interrupted after its connection was opened again', async () => {
    const first = readOnce();
    const id = /\bid=(\d+)/.exec(await blocked())?.[1] ?? '';
    reader.interrupt();
    await first;
    await control.client('KILL', 'ID', id);
    await eventually('the connection is open again', async () =>
      expect(await connection.client('ID')).not.toBe(Number(id)),
    );
    const second = readOnce();
    await blocked();
    reader.interrupt();
    await second;
  });

  it('is interrupted also if its connection was opened again while it blocked', async () => {
    const reading = readOnce();
    const id = /\bid=(\d+)/.exec(await blocked())?.[1] ?? '';
    await control.client('KILL', 'ID', id);
    await eventually('the read blocks on another connection', async () =>
      expect(await blocked()).not.toContain(`id=${id} `),
    );
    reader.interrupt();
    await reading;
  });

  it('is interrupted also before Redis has received it', async () => {
    for (let i = 0; i < 50; i++) {
      const first = readOnce();
      reader.interrupt();
      await first;
      // The id of the connection is known, so this read is on its way.
      const second = readOnce();
      await Promise.resolve();
      reader.interrupt();
      await second;
    }
  });

  it('does not wait for the id of a connection that ended before it was ready', async () => {
    const proxy = await Proxy.before(server.port);
    const behind = connectRedis(`redis://127.0.0.1:${proxy.port}`, { name: 'spec-cut', whenAway: 'wait' }, quiet);
    blockForever(behind);
    let attempts = 0;
    behind.on('connect', () => attempts++);
    const cutReader = new BlockingReader(behind, STREAMS, AT_ONCE, control);
    await eventually('the connection is ready', () => expect(behind.status).toBe('ready'));
    proxy.cut();
    await eventually('connections end before they are ready', () => expect(attempts).toBeGreaterThan(3));
    const reading = cutReader.read(POSITIONS, (_, entries) => {
      read.push(...entries);
      return Promise.resolve();
    });
    await control.xadd(KEY, '*', 'text', 'x');
    proxy.heal();
    await reading;
    expect(read.map(({ text }) => text)).toEqual(['x']);
    behind.disconnect();
    await proxy.stop();
  });

  it('may be interrupted while nothing is read, which changes nothing', async () => {
    reader.interrupt();
    await control.xadd(KEY, '*', 'text', 'x');
    await readOnce();
    reader.interrupt();
    await readOnce();
    expect(read.map(({ text }) => text)).toEqual(['x', 'x']);
  });
});

afterEach(() => control.acl('SETUSER', 'default', '+client|unblock'));

it('a user who may not interrupt a read makes the next reads short, and they end by themselves', async () => {
  await control.acl('SETUSER', 'default', '-client|unblock');
  const xread = jest.spyOn(connection, 'xread');
  const first = readOnce();
  await blocked();
  const command = jest.spyOn(control, 'client');
  reader.interrupt();
  await eventually('Redis has refused', () => expect(command).toHaveBeenCalled());
  await expect(command.mock.results[0]?.value).rejects.toBeInstanceOf(RedisForbiddenError);
  await control.xadd(KEY, '*', 'text', 'x');
  await first;
  await readOnce();
  reader.interrupt();
  expect(read.map(({ text }) => text)).toEqual(['x', 'x']);
  expect(command).toHaveBeenCalledTimes(1);
  expect(xread.mock.calls.map((args) => args[args.indexOf('BLOCK') + 1])).toEqual([5000, 250]);
});

it('a reader without a control connection ignores an interruption', async () => {
  const plain = new BlockingReader(connection, STREAMS, AT_ONCE);
  await control.xadd(KEY, '*', 'text', 'x');
  plain.interrupt();
  await plain.read(POSITIONS, (_, entries) => {
    read.push(...entries);
    plain.interrupt();
    return Promise.resolve();
  });
  expect(read).toHaveLength(1);
});
