/** What gateway, owner and dispatcher count for people who look at the system, made of the real parts. */
import { connectRedis, type Redis } from '@app/platform';
import { SENDING_TIMES_MS, readMessageCounts, readSendingTimes } from '@app/registry';
import { waitUntil } from '../../scripts/stack.mjs';
import { quiet, startMosquitto, startRedis, type Server } from '../support/servers.js';
import { CLIENT, Stage } from './support/stage.js';

const COUNT = 20;

let redisServer: Server;
let broker: Server;
let redis: Redis;
let stage: Stage;

beforeAll(async () => {
  [redisServer, broker] = await Promise.all([startRedis(), startMosquitto()]);
  redis = connectRedis(redisServer.url, { name: 'spec', whenAway: 'wait' }, quiet);
  stage = new Stage(redisServer, broker, 'statistics', redis);
  await stage.open();
});

afterAll(async () => {
  await stage.close();
  await redis.quit();
  await Promise.all([redisServer.stop(), broker.stop()]);
});

async function redisNow(): Promise<number> {
  return Number((await redis.time())[0]) * 1000;
}

describe('messages that are sent', () => {
  it('are counted by status, and by the time that each took to the broker', async () => {
    const [{ send }] = await Promise.all([stage.gateway(), stage.dispatcher()]);
    const about = { clientId: CLIENT, directive: 'test:count', payloadJson: '1', ttlMs: 600_000, requestId: 'r' };
    await send(
      Array.from({ length: COUNT }, () => ({ ...about, whenOffline: 'hold' as const, idempotencyKey: undefined })),
    );
    await waitUntil(
      async () => {
        const minutes = await readMessageCounts(redis, stage.keys, 1, await redisNow());
        const sent = minutes.reduce((sum, counts) => sum + counts.sent, 0);
        if (sent < COUNT) throw new Error(`${sent} are counted as sent`);
      },
      { what: 'all messages are counted as sent' },
    );
    await waitUntil(
      async () => {
        const minutes = await readSendingTimes(redis, stage.keys, await redisNow());
        const count = minutes.flat().reduce((sum, one) => sum + one, 0);
        if (count < COUNT) throw new Error(`${count} times are known`);
        expect(count).toBe(COUNT);
        expect(minutes.every((times) => times.length === SENDING_TIMES_MS.length)).toBe(true);
      },
      { what: 'the dispatcher has added its times' },
    );
  });
});
