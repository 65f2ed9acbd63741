import { pino } from 'pino';
import type { IntakePacket } from '@app/broker';
import type { Logger, Redis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import { Mailboxes, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { quiet } from '../../../../test/support/servers.js';
import { ingesterSettings } from '../ingester.settings.js';
import { IntakeController, LaneContext } from './intake.controller.js';
import { LaneMarkers } from './lane-markers.js';

const LANE: Grant = { kind: 'lane', index: 0, epoch: 1, fence: '1:boot' };
const keys = new RegistryKeys('intake');
let redis: Redis;

withRedis((connection) => (redis = connection));

async function controller(env: Record<string, string>, logger: Logger): Promise<IntakeController> {
  const settings = ingesterSettings.parse({
    REDIS_URL: 'redis://127.0.0.1:1',
    MQTT_URL: 'mqtt://127.0.0.1:1',
    SHARD_COUNT: '1',
    ...env,
  });
  const mailboxes = new Mailboxes(redis, keys, settings.MAILBOX_LIMIT);
  await mailboxes.announce(LANE, 1);
  return new IntakeController(mailboxes, new LaneMarkers(redis, keys, 'marker', logger), settings, logger);
}

function packetsOn(topic: string, count: number, payload: Buffer): IntakePacket[] {
  return Array.from({ length: count }, (_, i) => ({ topic, payload, retain: false, dup: false, packetId: i + 1 }));
}

function batch(sequence: number): LaneContext {
  return new LaneContext([LANE, sequence, new AbortController().signal]);
}

it('a flood on topics without a valid client id is one log line a second, and stores nothing', async () => {
  const lines: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void lines.push(line) });
  const intake = await controller({}, logger);
  const packets = packetsOn(`redhat/insights/in/${'a'.repeat(257)}`, 20_000, Buffer.from('x'));
  const begun = performance.now();
  await intake.store(packets, batch(1));
  const seconds = Math.ceil((performance.now() - begun) / 1000);
  expect(lines.length).toBeGreaterThanOrEqual(1);
  expect(lines.length).toBeLessThanOrEqual(seconds + 1);
  expect(await redis.exists(keys.mailbox(0))).toBe(0);
});

it('a client that sends the largest packets within its share of messages is cut by bytes, and others are not', async () => {
  const intake = await controller({ CLIENT_BYTES_RATE: '65536', CLIENT_RATE: '1000' }, quiet);
  const largest = Buffer.alloc(262_144, 'x');
  const small = packetsOn('redhat/insights/in/small', 1, Buffer.from('x'));
  await intake.store([...packetsOn('redhat/insights/in/large', 50, largest), ...small], batch(2));
  const entries = await redis.xrange(keys.mailbox(0), '-', '+');
  // The first fits into the burst; in place of all others there is one entry with a sample.
  expect(entries.map(([, fields]) => fields.join(' ').length > largest.length)).toEqual([true, false, false]);
  expect(entries[1]?.[1].join(' ')).toContain('65536 bytes a second');
});
