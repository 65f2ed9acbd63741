import { connectAsync, type MqttClient } from 'mqtt';
import { TopicTemplate } from '@app/protocol';
import { startMosquitto, type Server } from '../../../../test/support/servers.js';
import { SweepReading, type Found } from './sweep-reading.js';

const MESSAGES = 9000;
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
}, 60_000);
afterAll(async () => {
  await device.endAsync();
  await broker.stop();
});

function reading(onBatch: (batch: readonly Found[]) => Promise<void>): SweepReading {
  return new SweepReading(
    {
      broker: { url: broker.url },
      sentinel: 'spec/sentinel',
      statusTopics: [new TopicTemplate('in/{clientId}')],
      maxInboundBytes: 1024,
      shardCount: 4,
    },
    onBatch,
  );
}

it('a sweep pauses the socket while many messages are pending, and passes on each message once however often it is read', async () => {
  const seen: string[] = [];
  const waiting: (() => void)[] = [];
  let [inProgress, most] = [0, 0];
  const read = reading(async (batch) => {
    seen.push(...batch.map(({ clientId }) => clientId));
    inProgress += batch.length;
    most = Math.max(most, inProgress);
    // No batch ends before the reading has stopped: at the limit, or at the end.
    const done = new Promise<void>((resolve) => waiting.push(resolve));
    if (inProgress >= 6000 || seen.length === MESSAGES) for (const resolve of waiting.splice(0)) resolve();
    await done;
    inProgress -= batch.length;
  });
  expect(await read.pass('spec-first', signal)).toEqual({ complete: true, paused: true, fresh: MESSAGES });
  expect(most).toBe(6000);
  expect(new Set(seen).size).toBe(MESSAGES);
  expect(await read.pass('spec-second', signal)).toEqual({ complete: true, paused: false, fresh: 0 });
  expect(seen).toHaveLength(MESSAGES);
});

it('a sweep fails if the receiver of its messages fails', async () => {
  const read = reading(() => Promise.reject(new Error('Redis is away')));
  await expect(read.pass('spec-failing', signal)).rejects.toThrow('Redis is away');
});
