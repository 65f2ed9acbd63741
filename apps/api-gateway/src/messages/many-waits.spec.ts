/** Ten thousand requests that wait at one gateway, with a real Redis: each gets its result, and nothing is left of them. */
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { register } from 'prom-client';
import { connectRedis, type Redis } from '@app/platform';
import { FinalMessages, Messages, RegistryKeys, encodeConnection } from '@app/registry';
import { hostConnection } from '../../../../test/support/connections.js';
import { quiet, startRedis, type Server } from '../../../../test/support/servers.js';
import { ANONYMOUS, type Caller } from '../access/caller.js';
import { CredentialsWatch } from '../access/credentials-watch.js';
import { FinalWaits, type WaitResult } from './final-waits.js';
import { Waits, type Wait } from './waits.js';

const REQUESTS = 10_000;
const MESSAGES = 1000;
/** One of so many callers leaves. */
const LEAVES = 4;
const LIMITS = { shardCount: 1, outboxLimit: MESSAGES, shardLimit: MESSAGES, retentionMs: 60_000 };
const keys = new RegistryKeys('cc');
const caller: Caller = { ...ANONYMOUS, scopes: new Set(['messages:read']) };

let server: Server;
let redis: Redis;
let subscriber: Redis;
let messages: Messages;
let waits: Waits;
let finals: FinalWaits;

beforeAll(async () => {
  server = await startRedis();
  redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
  subscriber = connectRedis(server.url, { name: 'finals', whenAway: 'wait' }, quiet);
  await redis.hset(keys.connections(0), 'host', encodeConnection(hostConnection('host')));
  await redis.zadd(keys.offline(0, 'host', 'goodbye'), 0, 'host');
  messages = new Messages(redis, keys, LIMITS);
  waits = new Waits({ total: REQUESTS, perCaller: REQUESTS }, new CredentialsWatch(() => true));
  finals = new FinalWaits(waits, new FinalMessages(subscriber, keys), messages, quiet);
  await finals.start();
});

afterAll(async () => {
  for (const connection of [redis, subscriber]) connection.disconnect();
  await server.stop();
});

async function accepted(): Promise<string[]> {
  const about = { clientId: 'host', directive: 'test:wait', payloadJson: '1', ttlMs: 60_000, requestId: 'r' };
  const one = { ...about, whenOffline: 'hold' as const, idempotencyKey: undefined };
  const minted = Array.from({ length: MESSAGES }, () => ({ ...one, messageId: messages.mint('host') }));
  await messages.accept(0, minted);
  return minted.map(({ messageId }) => messageId);
}

function begin(response: EventEmitter): Wait | undefined {
  return finals.begin(caller, 60, Object.assign(response, { destroyed: false }) as unknown as ServerResponse);
}

/** A request waits for the message. */
async function request(response: EventEmitter, messageId: string): Promise<{ result: Promise<WaitResult> }> {
  const wait = begin(response);
  if (wait === undefined) throw new Error('the request does not wait');
  expect(await finals.register(wait, messageId)).toBe('registered');
  return { result: finals.untilFinal(wait, messageId, { readFirst: true }) };
}

async function waiting(): Promise<number | undefined> {
  return (await register.getSingleMetric('cloud_connector_waiting_requests')?.get())?.values[0]?.value;
}

it('each of ten thousand requests gets its message when it is final, callers leave, and nothing is left', async () => {
  const ids = await accepted();
  const responses = Array.from({ length: REQUESTS }, () => new EventEmitter());
  const begun = await Promise.all(responses.map((response, i) => request(response, ids[i % MESSAGES] ?? '')));
  expect(await waiting()).toBe(REQUESTS);
  expect(begin(new EventEmitter())).toBeUndefined();
  responses.forEach((response, i) => i % LEAVES === 0 && response.emit('close'));
  await Promise.all(ids.map((id) => messages.cancel(id)));
  const results = await Promise.all(begun.map(({ result }) => result));
  for (const [i, result] of results.entries()) {
    if (i % LEAVES === 0) expect(result).toEqual({ kind: 'left' });
    else expect(result).toMatchObject({ kind: 'read', message: { messageId: ids[i % MESSAGES], status: 'cancelled' } });
  }
  expect([waits.size, await waiting()]).toEqual([0, 0]);
  expect(responses.reduce((sum, response) => sum + response.listenerCount('close'), 0)).toBe(0);
  const maps = Object.values(waits).filter((value) => value instanceof Map);
  expect(maps.map(({ size }) => size)).toEqual([0, 0, 0]);
});
