import { connectRedis, type Redis } from '@app/platform';
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

/** A read does not end by itself. */
function blockForever(redis: Redis): void {
  const read = redis.xread.bind(redis) as (...args: unknown[]) => Promise<unknown>;
  const withoutEnd = (...args: unknown[]) => read(...args.map((arg, i) => (args[i - 1] === 'BLOCK' ? 0 : arg)));
  Object.assign(redis, { xread: withoutEnd });
}

function readOnce(): Promise<void> {
  return reader.read(POSITIONS, (_, entries) => {
    read.push(...entries);
    return Promise.resolve();
  });
}

/** The connection of the reader as Redis lists it while it blocks. */
async function blocked(): Promise<string> {
  const find = async (): Promise<string | undefined> => {
    const clients = String(await control.client('LIST')).split('\n');
    return clients.find((line) => line.includes('name=spec-blocking') && / flags=\w*b/.test(line));
  };
  await eventually('the read blocks', async () => expect(await find()).toBeDefined());
  return (await find()) ?? '';
}

describe('a blocking read', () => {
  it('ends when an entry arrives', async () => {
    const reading = readOnce();
    await blocked();
    await control.xadd(KEY, '*', 'text', 'x');
    await reading;
    expect(read.map(({ text }) => text)).toEqual(['x']);
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

  it('may be interrupted while nothing is read, which changes nothing', async () => {
    reader.interrupt();
    await control.xadd(KEY, '*', 'text', 'x');
    await readOnce();
    reader.interrupt();
    await readOnce();
    expect(read.map(({ text }) => text)).toEqual(['x', 'x']);
  });
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
