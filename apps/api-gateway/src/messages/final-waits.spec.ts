/** Requests to a gateway that wait for messages to be final, with `Prefer: wait=N`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { connectRedis, type Redis } from '@app/platform';
import { Messages, RegistryKeys, encodeConnection } from '@app/registry';
import { Api, type Answer, type MessageView } from '../../../../test/support/api.js';
import { hostConnection } from '../../../../test/support/connections.js';
import { GatewayApp } from '../../../../test/support/gateway-app.js';
import { eventually, quiet, startRedis, type Server } from '../../../../test/support/servers.js';
import { mintKey } from '../access/api-keys.js';
import { SCOPES, type Scope } from '../access/scopes.js';
import { BodyBudget } from '../http/body-budget.js';
import { FinalWaits } from './final-waits.js';

const LIMITS = { shardCount: 1, outboxLimit: 1000, shardLimit: 1000, retentionMs: 60_000 };
const keys = new RegistryKeys('cc');
const wait = (seconds: number): Record<string, string> => ({ prefer: `wait=${seconds}` });

let server: Server;
let redis: Redis;
let gateway: GatewayApp;
let waits: FinalWaits;
let messages: Messages;
let dir: string;
let keyFile: string;
let api: Api;

const minted = {
  all: mintKey({ id: 'all', scopes: [...SCOPES] }),
  writer: mintKey({ id: 'writer', scopes: ['messages:write'] satisfies Scope[] }),
  acme: mintKey({ id: 'acme', scopes: [...SCOPES], account: 'acme' }),
};
type KeyName = keyof typeof minted;

function admit(...names: KeyName[]): void {
  writeFileSync(keyFile, JSON.stringify({ keys: names.map((name) => minted[name].entry) }));
}

function as(name: KeyName): Api {
  return new Api(gateway.url, minted[name].key);
}

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cloud-connector-waits-'));
  keyFile = join(dir, 'keys.json');
  admit('all', 'writer', 'acme');
  server = await startRedis();
  redis = connectRedis(server.url, { name: 'spec', whenAway: 'wait' }, quiet);
  messages = new Messages(redis, keys, LIMITS);
  const env = { REDIS_URL: server.url, SHARD_COUNT: '1', API_KEYS_FILE: keyFile, WAITING_REQUESTS: '4' };
  gateway = await GatewayApp.listen({ ...env, WAITING_REQUESTS_PER_KEY: '3' });
  waits = gateway.app.get(FinalWaits);
  api = as('all');
  for (const [id, account] of Object.entries({ host: undefined, 'host-of-acme': 'acme' })) {
    await redis.hset(keys.connections(0), id, encodeConnection(hostConnection(id)));
    await redis.zadd(keys.offline(0, 'host', 'goodbye'), 0, id);
    if (account !== undefined) await redis.hset(keys.accounts(0), id, account);
  }
});

afterEach(async () => {
  await gateway.stop();
  redis.disconnect();
  await server.stop();
  rmSync(dir, { recursive: true });
});

/** Runs in the process of the gateway, so no turn of its event loop is missed. */
async function untilWaiting(count: number): Promise<void> {
  while (waits.size !== count) await turn();
}

function send(to: Api, headers: Record<string, string>, id = 'host'): Promise<Answer<MessageView>> {
  return to.send(id, { directive: 'test:wait', payload: 'x'.repeat(1000) }, headers);
}

function read(to: Api, id: string, seconds = 60): Promise<Answer<MessageView>> {
  return to.call('GET', `/v1/messages/${id}`, undefined, wait(seconds));
}

/** Accepts a message, and returns its id. */
async function stored(id = 'host', headers: Record<string, string> = {}): Promise<string> {
  return (await send(api, headers, id)).body.message_id;
}

/** A request has its place before its message is accepted. @returns the id of the message */
async function untilAccepted(): Promise<string> {
  await untilWaiting(1);
  let ids: string[] = [];
  await eventually('the message is accepted', async () => {
    ids = (await messages.list('host', 2)).messages.map(({ messageId }) => messageId);
    expect(ids).toHaveLength(1);
  });
  return ids.join();
}

function applied({ headers }: Answer<unknown>): string | null {
  return headers.get('preference-applied');
}

describe('a message that is sent with Prefer: wait', () => {
  it('is answered with 200 and the whole message as soon as it is final', async () => {
    const sent = send(api, wait(60));
    const id = await untilAccepted();
    await messages.cancel(id);
    const answer = await sent;
    expect([answer.status, applied(answer), answer.headers.get('location')]).toEqual([
      200,
      'wait=60',
      `/v1/messages/${id}`,
    ]);
    expect(answer.body).toEqual((await api.call('GET', `/v1/messages/${id}`)).body);
    expect(answer.body.status).toBe('cancelled');
    expect(waits.size).toBe(0);
  });

  it('is answered with 202 as without the header if it is not final in time', async () => {
    const answer = await send(api, wait(1));
    expect([answer.status, applied(answer)]).toEqual([202, 'wait=1']);
    expect(Object.keys(answer.body)).toEqual(Object.keys((await send(api, {})).body));
    expect(waits.size).toBe(0);
  });

  it('does not hold the body of its request while it waits, and is in the audit log already', async () => {
    const sent = send(api, wait(60));
    const id = await untilAccepted();
    await eventually('the body is released', () => expect(gateway.app.get(BodyBudget).bytes).toBe(0));
    const audited = (): unknown[] => gateway.lines.filter((line) => line['action'] === 'message.send');
    expect(audited()).toMatchObject([{ audit: true, client_id: 'host', outcome: 'done', status: 202, message_id: id }]);
    await messages.cancel(id);
    await sent;
    expect(audited()).toHaveLength(1);
  });

  it.each([
    ['a value that is not served', 'all', { prefer: 'wait=61' }],
    ['another preference', 'all', { prefer: 'respond-async' }],
    ['credentials without messages:read', 'writer', wait(60)],
  ] as const)('is answered at once with %s', async (_, name, headers) => {
    const answer = await send(as(name), headers);
    expect([answer.status, applied(answer)]).toEqual([202, null]);
  });

  it('is answered as without the header if it is refused', async () => {
    const answer = await send(api, wait(60), 'nobody');
    expect([answer.status, applied(answer), waits.size]).toEqual([503, null, 0]);
  });

  it('is waited for, and not sent again, if the Idempotency-Key is repeated', async () => {
    const id = await stored('host', { 'idempotency-key': 'k' });
    const repeated = send(api, { ...wait(60), 'idempotency-key': 'k' });
    await eventually('the gateway is registered', async () => {
      expect(await redis.get(keys.message(0, id))).toMatch(/^2 /);
    });
    await messages.cancel(id);
    const answer = await repeated;
    expect([answer.status, answer.body.message_id, answer.headers.get('idempotency-replayed')]).toEqual([
      200,
      id,
      'true',
    ]);
    const again = await send(api, { ...wait(60), 'idempotency-key': 'k' });
    expect([again.status, again.body.status]).toEqual([200, 'cancelled']);
  });

  it('is answered with 202 if the gateway stops', async () => {
    const sent = send(api, wait(60));
    await untilAccepted();
    await gateway.stop();
    const { status, headers, body } = await sent;
    expect([status, headers.get('connection'), body.status]).toEqual([202, 'close', 'held']);
  });

  it('is answered with 202 if the key is revoked', async () => {
    const sent = send(api, wait(60));
    await untilAccepted();
    admit('writer');
    expect((await sent).status).toBe(202);
  });

  it('is answered with 202 if Redis is away at the end', async () => {
    const sent = send(api, wait(2));
    await untilAccepted();
    await server.stop();
    expect((await sent).status).toBe(202);
  });
});

describe('a message that is read with Prefer: wait', () => {
  it('is answered as soon as it is final, to all who wait', async () => {
    const id = await stored();
    const answers = [read(api, id), read(api, id)];
    await untilWaiting(2);
    await api.call('DELETE', `/v1/messages/${id}`);
    for (const answer of await Promise.all(answers))
      expect([answer.status, answer.body.status, applied(answer)]).toEqual([200, 'cancelled', 'wait=60']);
    expect((await read(api, id)).body.status).toBe('cancelled');
  });

  it('is answered with what is known if it is not final in time', async () => {
    const answer = await read(api, await stored(), 1);
    expect([answer.status, answer.body.status]).toEqual([200, 'held']);
  });

  it('is unknown to callers of another account, at once', async () => {
    const [id, own] = [await stored(), await stored('host-of-acme')];
    expect((await read(as('acme'), id)).status).toBe(404);
    expect((await read(api, messages.mint('host'))).status).toBe(404);
    const waiting = read(as('acme'), own);
    await untilWaiting(1);
    await messages.cancel(own);
    expect((await waiting).body.status).toBe('cancelled');
  });

  it('is answered at once if too many gateways wait for it', async () => {
    const id = await stored();
    for (let i = 0; i < 8; i++) await messages.register(id, `gateway-${i}`);
    const answer = await read(api, id);
    expect([answer.status, answer.body.status, applied(answer), waits.size]).toEqual([200, 'held', null, 0]);
  });

  it('is answered with 503 if the gateway stops', async () => {
    const waiting = read(api, await stored());
    await untilWaiting(1);
    await gateway.stop();
    expect((await waiting).status).toBe(503);
  });

  it('is answered with 401 if the key is revoked', async () => {
    const waiting = read(api, await stored());
    await untilWaiting(1);
    admit('writer');
    expect((await waiting).status).toBe(401);
  });

  it('is answered with 503 if Redis is away at the end', async () => {
    const waiting = read(api, await stored(), 2);
    await untilWaiting(1);
    await server.stop();
    expect((await waiting).status).toBe(503);
  });

  it('is read again if the subscription was lost while it became final', async () => {
    const id = await stored();
    const waiting = read(api, id);
    await untilWaiting(1);
    const clients = await redis.client('LIST');
    const connection = / id=(\d+) .* name=gateway-finals /.exec(` ${String(clients).replaceAll('\n', ' \n ')}`)?.[1];
    await redis.multi().client('KILL', 'ID', Number(connection)).exec();
    await messages.cancel(id);
    expect((await waiting).body.status).toBe('cancelled');
  });
});

describe('a request that waits', () => {
  it('frees its place when its caller leaves', async () => {
    const headers = { ...wait(60), authorization: `Bearer ${minted.all.key}` };
    const leaving = request(`${gateway.url}/v1/messages/${await stored()}`, { headers, agent: false });
    leaving.on('error', () => undefined).end();
    await untilWaiting(1);
    leaving.destroy();
    await untilWaiting(0);
  });

  it('is one of WAITING_REQUESTS_PER_KEY of a key, and one of WAITING_REQUESTS; further ones are answered at once', async () => {
    const [id, own] = [await stored(), await stored('host-of-acme')];
    const waiting = Array.from({ length: 3 }, () => read(api, id));
    await untilWaiting(3);
    expect(applied(await read(api, id))).toBeNull();
    waiting.push(read(as('acme'), own));
    await untilWaiting(4);
    expect(applied(await read(as('acme'), own))).toBeNull();
    for (const one of [id, own]) await messages.cancel(one);
    expect((await Promise.all(waiting)).map(applied)).toEqual(Array<string>(4).fill('wait=60'));
  });
});
