import { connectRedis, type Redis } from '@app/platform';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, quiet, type Server } from '../../../../test/support/servers.js';
import { CommandReplies, sendReply, type CommandOutcome } from './command-replies.js';
import { RegistryKeys } from '../keys.js';

let server: Server;
let redis: Redis;
let subscriber: Redis;
let replies: CommandReplies;
let connectionId: number;

withRedis((connection, started) => {
  redis = connection;
  server = started;
});

beforeEach(async () => {
  subscriber = connectRedis(server.url, { name: 'subscriber', whenAway: 'wait' }, quiet);
  connectionId = await subscriber.client('ID');
  replies = new CommandReplies(subscriber, new RegistryKeys('replies').replies('gateway-1'), quiet);
  await replies.start();
});

afterEach(() => subscriber.disconnect());

const LONG_MS = 20_000;

function reply(id: string, outcome: CommandOutcome, channel = replies.channel): Promise<void> {
  return sendReply(redis, { channel, id }, outcome);
}

describe('the reply to a command', () => {
  it.each<CommandOutcome>([{ kind: 'done' }, { kind: 'unknown' }, { kind: 'conflict', details: 'it is online' }])(
    'reaches the waiting caller: %j',
    async (outcome) => {
      const waiting = replies.expect('command-1', LONG_MS);
      await reply('command-1', outcome);
      expect(await waiting).toEqual(outcome);
    },
  );

  it('resolves its own command, in any order of replies', async () => {
    const [first, second] = [replies.expect('1', LONG_MS), replies.expect('2', LONG_MS)];
    await reply('2', { kind: 'unknown' });
    await reply('nobody waits for this one', { kind: 'conflict', details: 'x' });
    await reply('1', { kind: 'done' });
    expect(await first).toEqual({ kind: 'done' });
    expect(await second).toEqual({ kind: 'unknown' });
  });

  it('does not reach another gateway', async () => {
    const waiting = replies.expect('1', LONG_MS);
    await reply('1', { kind: 'unknown' }, new RegistryKeys('replies').replies('gateway-2'));
    await reply('1', { kind: 'done' });
    expect(await waiting).toEqual({ kind: 'done' });
  });

  it('is undefined if it does not arrive in time, and has no effect if it arrives later', async () => {
    expect(await replies.expect('1', 1)).toBeUndefined();
    const next = replies.expect('2', LONG_MS);
    await reply('1', { kind: 'done' });
    await reply('2', { kind: 'unknown' });
    expect(await next).toEqual({ kind: 'unknown' });
  });

  it('is the first one if two replies arrive', async () => {
    const waiting = replies.expect('1', LONG_MS);
    await reply('1', { kind: 'done' });
    await reply('1', { kind: 'unknown' });
    expect(await waiting).toEqual({ kind: 'done' });
  });

  it.each(['not JSON', 'null', '[]', '{"id":5}'])('arrives after an unreadable message: %s', async (text) => {
    const waiting = replies.expect('1', LONG_MS);
    await redis.publish(replies.channel, text);
    await reply('1', { kind: 'done' });
    expect(await waiting).toEqual({ kind: 'done' });
  });

  it('arrives again after the connection to Redis was lost', async () => {
    await redis.client('KILL', 'ID', connectionId);
    const waiting = replies.expect('1', LONG_MS);
    await eventually('the channel has its subscriber again', async () => {
      const [, count] = (await redis.pubsub('NUMSUB', replies.channel)) as [string, number];
      expect(count).toBe(1);
    });
    await reply('1', { kind: 'done' });
    expect(await waiting).toEqual({ kind: 'done' });
  });
});
