/** Reads of a Mosquitto that drops messages, or lets nothing be read. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { quiet, startMosquitto, type Server } from '../../../test/support/servers.js';
import type { BrokerAccess } from './broker-access.js';
import { ControlMessages } from './control-messages.js';
import { IncompleteReadError, NothingReadableError, RetainedReader } from './retained-reader.js';
import { RetainedSweep } from './retained-sweep.js';

const SENTINEL = 'spec/sentinel';
const TOPICS = Array.from({ length: 100 }, (_, i) => `in/client-${i}`);
/** The broker sends 67 messages of this size, and drops the others. */
const LARGE = 'x'.repeat(1500);
const LIMITS = ['max_queued_messages 10', 'max_queued_bytes 100000', 'max_inflight_messages 20'];

let dir: string;
let warnings: string[];
let broker: Server;
let controls: ControlMessages;

async function start(config: readonly string[], rights = ['readwrite #']): Promise<BrokerAccess> {
  const file = join(dir, 'acl');
  await writeFile(file, rights.map((right) => `topic ${right}\n`).join(''));
  broker = await startMosquitto({ config: [...config, `acl_file ${file}`] });
  return { url: broker.url };
}

async function retain(topics: readonly string[], payload: string): Promise<void> {
  const client = await connectAsync(broker.url);
  for (const topic of topics) await client.publishAsync(topic, payload, { qos: 1, retain: true });
  await client.endAsync();
}

async function read(access: BrokerAccess, topics: readonly string[]): Promise<Map<string, Buffer>> {
  const reader = new RetainedReader(access, 'reader', SENTINEL, quiet, { controls });
  try {
    return await reader.read(topics);
  } finally {
    await reader.close();
  }
}

async function pass(access: BrokerAccess): Promise<{ end: string; found: string[] }> {
  const found: string[] = [];
  const listener = {
    retained: (topic: string) => void found.push(topic),
    live: () => undefined,
    late: () => undefined,
  };
  const { signal } = new AbortController();
  const about = { clientId: 'sweep', filters: ['in/+'], sentinel: SENTINEL, controls, silenceMs: 3000, signal };
  const sweep = new RetainedSweep({ ...access, ...about }, listener);
  const end = await sweep.pass(1);
  sweep.close();
  return { end, found };
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cloud-connector-controls-'));
  warnings = [];
  const warn = (_about: object, text: string): void => void warnings.push(text);
  controls = new ControlMessages(['in/'], 'control', { warn: warn as typeof quiet.warn });
});

afterEach(async () => {
  await broker.stop();
  await rm(dir, { recursive: true });
});

it('a read finds which topics are empty, and not the control message', async () => {
  const access = await start([]);
  await retain(['in/client-0'], 'one');
  expect(await read(access, ['in/client-0', 'in/client-1'])).toEqual(new Map([['in/client-0', Buffer.from('one')]]));
  expect(warnings).toEqual([]);
});

it('a read proves nothing if the broker dropped messages of it, and a smaller one proves what it finds', async () => {
  const access = await start(LIMITS);
  await retain(TOPICS, LARGE);
  const dropped = read(access, TOPICS);
  await expect(dropped).rejects.toThrow('it dropped messages of the read');
  await expect(dropped).rejects.not.toThrow(NothingReadableError);
  expect((await read(access, TOPICS.slice(0, 50))).size).toBe(50);
});

it('a read that brought a message on each topic needs no control message', async () => {
  const access = await start(LIMITS);
  await retain(['in/client-0'], 'x'.repeat(110_000));
  expect((await read(access, ['in/client-0'])).size).toBe(1);
  await expect(read(access, ['in/client-0', 'in/client-1'])).rejects.toThrow(IncompleteReadError);
});

it('a read fails for all topics, and a pass of a sweep is cut short, if the broker grants the SUBSCRIBE and lets nothing be read', async () => {
  const access = await start([], ['write in/#', 'readwrite spec/#']);
  await retain(['in/client-0'], 'one');
  await expect(read(access, ['in/client-0'])).rejects.toThrow(NothingReadableError);
  expect(await pass(access)).toEqual({ end: 'cut-short', found: [] });
});

it('a pass of a sweep reads to the end, and passes the control message on to nobody', async () => {
  const access = await start([]);
  await retain(['in/client-0'], 'one');
  expect(await pass(access)).toEqual({ end: 'complete', found: ['in/client-0'] });
});

it('if the broker lets no control message be published, that is logged once, and reads go on without', async () => {
  const access = await start([], ['read in/#', 'readwrite spec/#']);
  await expect(read(access, ['in/client-0'])).rejects.toThrow('Not authorized');
  for (let i = 0; i < 2; i++) expect((await read(access, ['in/client-0'])).size).toBe(0);
  expect(await pass(access)).toEqual({ end: 'complete', found: [] });
  expect(warnings).toEqual([expect.stringContaining('allow the topic in its access control')]);
});
