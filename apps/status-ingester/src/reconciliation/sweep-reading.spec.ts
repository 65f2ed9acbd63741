import { connectAsync, type MqttClient } from 'mqtt';
import { TopicTemplate } from '@app/protocol';
import { startMosquitto, type Server } from '../../../../test/support/servers.js';
import { SweepReading, type Found } from './sweep-reading.js';

const MESSAGES = 9000;
const WHOLE = { missed: 0, readByFew: 0 };
const { signal } = new AbortController();
let broker: Server;
let device: MqttClient;

beforeAll(async () => {
  broker = await startMosquitto();
  device = await connectAsync(broker.url);
  for (let i = 0; i < MESSAGES; i += 500) {
    const some = Array.from({ length: 500 }, (_, j) => `in/client-${i + j}`);
    await Promise.all(some.map((topic) => device.publishAsync(topic, 'text', { qos: 1, retain: true })));
  }
});
afterAll(async () => {
  await device.endAsync();
  await broker.stop();
});

function reading(clientId: string, onBatch: (batch: readonly Found[]) => Promise<void>): SweepReading {
  return new SweepReading(
    {
      broker: { url: broker.url },
      sentinel: 'spec/sentinel',
      statusTopics: [new TopicTemplate('in/{clientId}')],
      maxInboundBytes: 1024,
      shardCount: 4,
    },
    clientId,
    signal,
    onBatch,
  );
}

it('a sweep pauses the socket while many messages are pending, and passes on each message once however often it is read', async () => {
  const seen: string[] = [];
  const waiting: (() => void)[] = [];
  let [inProgress, most] = [0, 0];
  const read = reading('spec-reading', async (batch) => {
    seen.push(...batch.map(({ clientId }) => clientId));
    inProgress += batch.length;
    most = Math.max(most, inProgress);
    // No batch ends before the reading has stopped: at the limit, or at the end.
    const done = new Promise<void>((resolve) => waiting.push(resolve));
    if (inProgress >= 6000 || seen.length === MESSAGES) for (const resolve of waiting.splice(0)) resolve();
    await done;
    inProgress -= batch.length;
  });
  expect(await read.pass()).toEqual({ complete: true, fresh: MESSAGES, ...WHOLE });
  expect(most).toBe(6000);
  expect(new Set(seen).size).toBe(MESSAGES);
  expect(await read.pass()).toEqual({ complete: true, fresh: 0, ...WHOLE });
  expect(seen).toHaveLength(MESSAGES);
  read.close();
});

it('a sweep fails if the receiver of its messages fails', async () => {
  const read = reading('spec-failing', () => Promise.reject(new Error('Redis is away')));
  await expect(read.pass()).rejects.toThrow('Redis is away');
  read.close();
});

it('a message that was published since the sweep began does not count as missed, and one that was not does', async () => {
  const seen: string[] = [];
  const read = reading('spec-live', (batch) => {
    seen.push(...batch.map(({ clientId }) => clientId));
    return Promise.resolve();
  });
  await read.pass();
  await device.publishAsync('in/came-later', 'text', { qos: 1, retain: true });
  expect(await read.pass()).toEqual({ complete: true, fresh: 0, ...WHOLE });
  expect(seen).toContain('came-later');
  read.close();
});

it('a message that a later pass brings with another text is passed on again', async () => {
  const bodies: string[] = [];
  await device.publishAsync('in/replaced', 'old', { qos: 1, retain: true });
  const read = reading('spec-replaced', (batch) => {
    bodies.push(...batch.flatMap(({ clientId, body }) => (clientId === 'replaced' ? [body] : [])));
    return Promise.resolve();
  });
  await read.pass();
  await device.publishAsync('in/replaced', 'new', { qos: 1, retain: true });
  expect(await read.pass()).toEqual({ complete: true, fresh: 0, ...WHOLE });
  await read.pass();
  expect(bodies).toEqual(['old', 'new']);
  read.close();
});

it('a client counts as seen only if the last pass brought a message of it: it may have been removed before the first one', async () => {
  await device.publishAsync('in/removed', 'text', { qos: 1, retain: true });
  const read = reading('spec-removed', () => Promise.resolve());
  await read.pass();
  expect(read.hasSeen('removed')).toBe(true);
  await device.publishAsync('in/removed', '', { qos: 1, retain: true });
  await read.pass();
  expect(read.hasSeen('removed')).toBe(false);
  expect(read.hasSeen('client-0')).toBe(true);
  read.close();
});

it('a message that is awaited is passed on again by a later pass, also unchanged', async () => {
  let isAwaited = false;
  let count = 0;
  const read = new SweepReading(
    {
      broker: { url: broker.url },
      sentinel: 'spec/sentinel',
      statusTopics: [new TopicTemplate('in/{clientId}')],
      maxInboundBytes: 1024,
      shardCount: 4,
    },
    'spec-awaited',
    signal,
    (batch) => {
      count += batch.filter(({ clientId }) => clientId === 'client-0').length;
      return Promise.resolve();
    },
    (clientId) => isAwaited && clientId === 'client-0',
  );
  await read.pass();
  await read.pass();
  expect(count).toBe(1);
  isAwaited = true;
  await read.pass();
  expect(count).toBe(2);
  read.close();
});
