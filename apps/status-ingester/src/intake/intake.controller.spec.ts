import { pino } from 'pino';
import type { Redis } from '@app/platform';
import { RegistryKeys } from '@app/registry';
import { Mailboxes, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { ingesterSettings } from '../ingester.settings.js';
import { IntakeController, LaneContext } from './intake.controller.js';
import { LaneMarkers } from './lane-markers.js';

const LANE: Grant = { kind: 'lane', index: 0, epoch: 1, fence: '1:boot' };
const keys = new RegistryKeys('intake');
let redis: Redis;

withRedis((connection) => (redis = connection));

it('a flood on topics without a valid client id is one log line a second, and stores nothing', async () => {
  const lines: string[] = [];
  const logger = pino({ level: 'warn' }, { write: (line) => void lines.push(line) });
  const settings = ingesterSettings.parse({
    REDIS_URL: 'redis://127.0.0.1:1',
    MQTT_URL: 'mqtt://127.0.0.1:1',
    SHARD_COUNT: '1',
  });
  const mailboxes = new Mailboxes(redis, keys, settings.MAILBOX_LIMIT);
  await mailboxes.announce(LANE, 1);
  const intake = new IntakeController(mailboxes, new LaneMarkers(redis, keys, 'marker', logger), settings, logger);
  const topic = `redhat/insights/in/${'a'.repeat(257)}`;
  const packets = Array.from({ length: 20_000 }, (_, i) => ({
    topic,
    payload: Buffer.from('x'),
    retain: false,
    dup: false,
    packetId: i + 1,
  }));
  const begun = performance.now();
  await intake.store(packets, new LaneContext([LANE, 1, new AbortController().signal]));
  const seconds = Math.ceil((performance.now() - begun) / 1000);
  expect(lines.length).toBeGreaterThanOrEqual(1);
  expect(lines.length).toBeLessThanOrEqual(seconds + 1);
  expect(await redis.exists(keys.mailbox(0))).toBe(0);
});
