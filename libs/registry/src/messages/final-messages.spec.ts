import { connectRedis, type Redis } from '@app/platform';
import { CLIENT, GRANT, SHARD, withMessages, type MessageBench } from '../../../../test/support/message-bench.js';
import { eventually, quiet, type Server } from '../../../../test/support/servers.js';
import { storeFormerMessage, storedMessage } from '../../../../test/support/stored-message.js';
import { DueTodos } from '../todos/due-work.js';
import { FinalMessages } from './final-messages.js';

let bench: MessageBench;
let server: Server;
let subscriber: Redis;
let finals: FinalMessages;
let reported: string[];
let subscribedAgain: number;
let connectionId: number;

withMessages((begun, started) => {
  bench = begun;
  server = started;
});

beforeEach(async () => {
  await bench.become('online');
  reported = [];
  subscribedAgain = 0;
  subscriber = connectRedis(server.url, { name: 'subscriber', whenAway: 'wait' }, quiet);
  connectionId = await subscriber.client('ID');
  finals = new FinalMessages(subscriber, bench.keys);
  await finals.start({
    onFinal: (id) => void reported.push(id),
    onSubscribedAgain: () => {
      subscribedAgain++;
      return Promise.resolve();
    },
  });
});

afterEach(() => subscriber.disconnect());

/** Accepts a message for which the gateway waits. */
async function accept(more: Parameters<MessageBench['minted']>[0] = {}): Promise<string> {
  const message = bench.minted(more);
  await bench.messages.accept(SHARD, [message], undefined, undefined, finals.gatewayId);
  return message.messageId;
}

/** The ids of the gateways that wait for a message. */
async function waiting(id: string): Promise<string[]> {
  const { answer_line: line = '' } = await storedMessage(bench.redis, bench.keys.message(SHARD, id));
  return line.split('\t')[2]?.split(',') ?? [];
}

/** Waits until what was published so far has arrived. */
async function untilArrived(): Promise<void> {
  await bench.redis.publish(bench.keys.finalMessages(finals.gatewayId), 'last');
  await eventually('the last report has arrived', () => expect(reported.at(-1)).toBe('last'));
  reported.pop();
}

async function fail(id: string): Promise<void> {
  if ((await bench.messages.read(id))?.status === 'queued') await bench.claim();
  await bench.outboxes.failByClient(CLIENT, id, 'no such worker');
}

const ENDS: [string, (id: string) => Promise<unknown>][] = [
  ['cancelled', (id) => bench.messages.cancel(id)],
  ['failed', fail],
  [
    'expired',
    async (id) => {
      await bench.own();
      await bench.endTimeToLive(id);
      await new DueTodos(bench.redis, bench.keys).claim(GRANT);
    },
  ],
];

describe('a message for which a gateway waits since it was accepted', () => {
  it.each(ENDS)('is reported once when it is %s', async (status, end) => {
    const id = await accept();
    await untilArrived();
    expect(reported).toEqual([]);
    await end(id);
    await untilArrived();
    expect(reported).toEqual([id]);
    expect((await bench.messages.read(id))?.status).toBe(status);
    await end(id);
    await untilArrived();
    expect(reported).toEqual([id]);
  });

  it('is not reported when it is sent, and when it fails later', async () => {
    const id = await accept({ payloadJson: `"${'x'.repeat(5000)}"` });
    await bench.claim();
    await bench.complete({ messageId: id, attempt: 1, outcome: 'sent' });
    await untilArrived();
    expect(reported).toEqual([]);
    await bench.outboxes.failByClient(CLIENT, id, 'no such worker');
    await untilArrived();
    expect(reported).toEqual([id]);
  });

  it('is published as others are', async () => {
    const id = await accept();
    const { messageId, payloadJson } = await bench.claim();
    expect({ messageId, payloadJson }).toEqual({ messageId: id, payloadJson: '{"a":1}' });
  });

  it('takes nothing for the gateway any more when it is final', async () => {
    const id = await accept();
    const key = bench.keys.message(SHARD, id);
    expect(await bench.redis.get(key)).toContain(finals.gatewayId);
    await bench.messages.cancel(id);
    expect(await bench.redis.get(key)).not.toContain(finals.gatewayId);
  });
});

describe('a gateway that registers with a stored message', () => {
  it('gets the report, and so does each other one', async () => {
    const id = await bench.add();
    const others = Array.from({ length: 7 }, (_, i) => `gateway-${i}`);
    const arrived: string[] = [];
    subscriber.on('message', (channel, text) => void arrived.push(`${channel} ${text}`));
    for (const other of others) {
      await subscriber.subscribe(bench.keys.finalMessages(other));
      expect(await bench.messages.register(id, other)).toBe('registered');
    }
    expect(await bench.messages.register(id, finals.gatewayId)).toBe('registered');
    await bench.messages.cancel(id);
    await untilArrived();
    const channels = [...others, finals.gatewayId].map((gateway) => `${bench.keys.finalMessages(gateway)} ${id}`);
    expect(arrived.slice(0, -1).sort()).toEqual(channels.sort());
  });

  it('is one of eight at most, and may register again', async () => {
    const id = await bench.add();
    const outcomes = [];
    for (let i = 0; i < 9; i++) outcomes.push(await bench.messages.register(id, `gateway-${i}`));
    expect(outcomes).toEqual([...Array<string>(8).fill('registered'), 'full']);
    expect(await bench.messages.register(id, 'gateway-0')).toBe('registered');
    expect(await waiting(id)).toEqual(Array.from({ length: 8 }, (_, i) => `gateway-${i}`));
  });

  it('is registered once, although its id is part of another one', async () => {
    const id = await bench.add();
    for (const gateway of ['gateway-10', 'gateway-1', 'gateway-1']) await bench.messages.register(id, gateway);
    expect(await waiting(id)).toEqual(['gateway-10', 'gateway-1']);
  });

  it('changes nothing of a message that is final', async () => {
    const id = await bench.add();
    await bench.messages.cancel(id);
    const before = await bench.redis.get(bench.keys.message(SHARD, id));
    expect(await bench.messages.register(id, finals.gatewayId)).toBe('registered');
    expect(await bench.redis.get(bench.keys.message(SHARD, id))).toBe(before);
  });

  it('does not find a message that is unknown, or belongs to another account', async () => {
    await bench.become('online', { account: 'acme' });
    const id = await bench.add();
    expect(await bench.messages.register(id, finals.gatewayId, 'other')).toBe('unknown');
    expect(await bench.messages.register(bench.messages.mint(CLIENT), finals.gatewayId)).toBe('unknown');
    expect(await bench.messages.register('00000000-0000-4000-8000-000000000000', finals.gatewayId)).toBe('unknown');
    expect(await bench.messages.register(id, finals.gatewayId, 'acme')).toBe('registered');
  });

  it('gets the report of a message that 0.1.0 has stored', async () => {
    const id = await bench.add();
    await storeFormerMessage(bench.redis, bench.keys.message(SHARD, id));
    expect(await bench.messages.register(id, finals.gatewayId)).toBe('registered');
    await bench.messages.cancel(id);
    await untilArrived();
    expect(reported).toEqual([id]);
  });
});

it('a message for which nobody waits is stored as before, and reported to nobody', async () => {
  const id = await bench.add();
  expect(await bench.redis.get(bench.keys.message(SHARD, id))).toMatch(/^1 /);
  await bench.messages.cancel(id);
  await untilArrived();
  expect(reported).toEqual([]);
});

it('a gateway whose subscription was lost hears when it has it again, and gets reports from then on', async () => {
  const id = await accept();
  await bench.redis.client('KILL', 'ID', connectionId);
  await eventually('the subscription is reported', () => expect(subscribedAgain).toBe(1));
  await bench.messages.cancel(id);
  await untilArrived();
  expect(reported).toEqual([id]);
});
