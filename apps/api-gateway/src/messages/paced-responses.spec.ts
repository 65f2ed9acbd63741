/** Responses of a gateway to accepted messages, while many messages of the caller are in flight. */
import { connect } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import type { Redis } from '@app/platform';
import { RegistryKeys, encodeConnection } from '@app/registry';
import { hostConnection } from '../../../../test/support/connections.js';
import { GatewayApp } from '../../../../test/support/gateway-app.js';
import { withRedis } from '../../../../test/support/redis.js';
import { ANONYMOUS } from '../access/caller.js';
import { BodyBudget } from '../http/body-budget.js';
import { Pacing } from './pacing.js';

const keys = new RegistryKeys('cc');
let redis: Redis;
let url: string;
let gateway: GatewayApp;
let pacing: Pacing;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

beforeAll(async () => {
  gateway = await GatewayApp.listen({ REDIS_URL: url, SHARD_COUNT: '1', MAX_CONNECTIONS: '8' });
  pacing = gateway.app.get(Pacing);
  for (const state of ['online', 'offline'] as const) {
    await redis.hset(keys.connections(0), state, encodeConnection(hostConnection(state)));
    await redis.zadd(state === 'online' ? keys.online(0, 'host') : keys.offline(0, 'host', 'goodbye'), 0, state);
  }
  await redis.hset(keys.outboxBytes(0), `in_flight:${ANONYMOUS.id}`, 1_000_000);
});

afterAll(() => gateway.stop());

const BODY = JSON.stringify({ directive: 'test:pace', payload: 'x'.repeat(1000) });

/** Sends a message without waiting for its response. @returns what arrives, and a way to leave */
function send(clientId: string): { response: Promise<string>; leave: () => void } {
  const head = [
    `POST /v1/connections/${clientId}/messages HTTP/1.1`,
    'host: localhost',
    'content-type: application/json',
    `content-length: ${BODY.length}`,
  ];
  const socket = connect(gateway.port, '127.0.0.1', () => socket.write(`${head.join('\r\n')}\r\n\r\n${BODY}`));
  let text = '';
  const response = new Promise<string>((resolve) => {
    socket.setEncoding('utf8').on('data', (data: string) => {
      text += data;
      if (/\r\n\r\n\{.*\}$/s.test(text)) socket.destroy();
    });
    socket.on('error', () => undefined).on('close', () => resolve(text));
  });
  return { response, leave: () => socket.destroy() };
}

/** Runs in the process of the gateway, so no turn of its event loop is missed. */
async function untilWaiting(count: number): Promise<void> {
  while (pacing.size !== count) await turn();
}

it('a response waits without the body of its request, and its place is free when the caller leaves', async () => {
  const { response, leave } = send('online');
  await untilWaiting(1);
  expect(gateway.app.get(BodyBudget).bytes).toBe(0);
  leave();
  await response;
  await untilWaiting(0);
});

it('a response about a held message does not wait', async () => {
  const waiting = send('online');
  await untilWaiting(1);
  const { response } = send('offline');
  expect(await response).toMatch(/^HTTP\/1.1 202 .*"status":"held"/s);
  waiting.leave();
  await untilWaiting(0);
});

it('a gateway that stops sends the responses that wait, and closes their connections', async () => {
  const { response } = send('online');
  await untilWaiting(1);
  await gateway.stop();
  const text = await response;
  expect(text).toMatch(/^HTTP\/1.1 202 .*"status":"queued"/s);
  expect(text).toMatch(/\r\nconnection: close\r\n/i);
});
