/** Callers that are bound to an account try to reach the connections and messages of another account. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SCOPES } from '../../apps/api-gateway/src/access/scopes.js';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api, type Answer, type ConnectionView, type MessageView, type ProblemView } from '../support/api.js';
import { SENT, withoutGivenUpClaims } from '../support/claims.js';
import { EventListener } from '../support/event-listener.js';
import { TestClient } from '../support/mqtt-client.js';
import { AccountEndpoint, TOKEN } from './support/account-endpoint.js';
import { KeyRing, startGateway, type RunningGateway } from './support/gateway.js';

interface Page {
  data: ConnectionView[];
  next_cursor: string | null;
}

const SHARED = { fqdn: 'shared.example.com', ip_addresses: ['192.0.2.1'] };
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-accounts-'));
const ring = new KeyRing(join(dir, 'keys.json'));
const [keyOfA, keyOfB] = ['a', 'b'].map((account) => ring.add({ id: account, scopes: [...SCOPES], account })) as [
  string,
  string,
];
const keyOfAll = ring.add({ id: 'all', scopes: [...SCOPES] });
let endpoint: AccountEndpoint;
let gateway: RunningGateway;
let broker: string;
let a: Api;
let b: Api;
let all: Api;

beforeAll(async () => {
  const [redis, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir })]);
  endpoint = await new AccountEndpoint().start();
  broker = mosquitto.url;
  const tokenFile = join(dir, 'token');
  writeFileSync(tokenFile, `${TOKEN}\n`);
  const env = { REDIS_URL: redis.url, MQTT_URL: mosquitto.url };
  [gateway] = await Promise.all([
    startGateway(dir, 'gateway', { ...env, API_KEYS_FILE: ring.path, EVENT_HEARTBEAT: '200ms' }),
    startApp('status-ingester', {
      dir,
      env: {
        ...env,
        ...{ ACCOUNTS_URL: endpoint.url, ACCOUNTS_TOKEN_FILE: tokenFile },
        ...{ ACCOUNTS_TIMEOUT: '1s', ACCOUNTS_REMEMBERED: '1s', EVENT_SETTLE: '0s' },
      },
    }),
    startApp('dispatcher', { dir, env }),
  ]);
  [a, b, all] = [keyOfA, keyOfB, keyOfAll].map((key) => new Api(gateway.url, key)) as [Api, Api, Api];
  for (let i = 0; i < 12; i++) endpoint.accounts.set(`of-${'ab'[i % 2]}-${i}`, 'ab'[i % 2] ?? '');
  await Promise.all([...endpoint.accounts.keys()].map((id) => connect(id)));
  await waitUntil(async () => {
    const counts = await Promise.all(
      [a, b].map((api) => api.call<{ total: number }>('GET', '/v1/connections/summary')),
    );
    expect(counts.map(({ body }) => body.total)).toEqual([6, 6]);
  });
  await all.untilBuilt();
});

afterAll(async () => {
  await endpoint.stop();
  await stopAll();
  rmSync(dir, { recursive: true });
});

async function connect(id: string): Promise<TestClient> {
  const client = await TestClient.connect(broker, id);
  await client.shakeHands(SHARED);
  return client;
}

/** Every id of a listing, page by page. */
async function list(api: Api, query: string, limit: number, first = ''): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | null = first;
  while (cursor !== null) {
    const path: string = `/v1/connections?${query}&limit=${limit}${cursor && `&cursor=${cursor}`}`;
    const { body }: Answer<Page> = await api.call<Page>('GET', path);
    ids.push(...body.data.map(({ client_id }) => client_id));
    cursor = body.next_cursor;
  }
  return ids.sort();
}

const idsOf = (account: string): string[] =>
  [...endpoint.accounts.keys()].filter((id) => id.startsWith(`of-${account}`));

it('the ingester asks ACCOUNTS_URL for the account of each client, and sends its token', () => {
  expect(new Set(endpoint.asked.map(({ clientId }) => clientId))).toEqual(new Set(endpoint.accounts.keys()));
  for (const { authorization, path } of endpoint.asked) {
    expect([authorization, path]).toEqual([`Bearer ${TOKEN}`, '/clients/lookup']);
  }
});

it('a listing has all connections of the account of the caller and no others, with any filter and page size', async () => {
  for (const query of [
    '',
    'state=online',
    'type=host',
    'fqdn=shared.example.com',
    'state=online&ip_address=192.0.2.1',
  ]) {
    for (const limit of [1, 2, 100]) {
      expect(await list(a, query, limit)).toEqual(idsOf('a').sort());
      expect(await list(b, query, limit)).toEqual(idsOf('b').sort());
    }
    expect(await list(all, query, 3)).toEqual([...endpoint.accounts.keys()].sort());
  }
  expect(await list(a, 'state=offline', 5)).toEqual([]);
});

it('a cursor of another caller shows only connections of the own account', async () => {
  const { body } = await all.call<Page>('GET', '/v1/connections?limit=1');
  const mine = await list(a, '', 2, body.next_cursor ?? '');
  for (const id of mine) expect(id).toMatch(/^of-a/);
});

describe('a caller that is bound to an account', () => {
  const foreign = 'of-b-1';
  const missing = 'of-b-none';
  let message: MessageView;

  beforeAll(async () => {
    const sent = await b.send(foreign, { directive: 'spec:secret' }, { 'idempotency-key': 'guessed' });
    expect(sent.status).toBe(202);
    message = sent.body;
  });

  it.each([
    ['GET', ''],
    ['DELETE', ''],
    ['DELETE', '/refusal'],
    ['POST', '/verify'],
    ['POST', '/force-disconnect', { reconnect_after: 'never' }],
    ['GET', '/messages'],
    ['POST', '/messages', { directive: 'spec:injected' }],
    ['POST', '/messages', { directive: 'spec:injected', when_offline: 'reject' }],
  ])(
    'is answered %s of a connection of another account%s as if it did not exist',
    async (method: string, path: string, ...[body]: unknown[]) => {
      const [ofOther, ofNone] = await Promise.all(
        [foreign, missing].map(async (id) => {
          const answer = await a.call<ProblemView>(method, `/v1/connections/${id}${path}`, body);
          const text = JSON.stringify({ ...answer.body, request_id: undefined }).replaceAll(id, 'ID');
          return { status: answer.status, text };
        }),
      );
      expect(ofOther?.status).toBe(404);
      // The texts are the same as well.
      expect(ofOther).toEqual(ofNone);
    },
  );

  it('changes nothing of a connection of another account', async () => {
    const { body } = await b.connection(foreign);
    expect(body).toMatchObject({ state: 'online', refused_until: null });
    const { body: kept } = await b.call<{ data: MessageView[] }>('GET', `/v1/connections/${foreign}/messages`);
    expect(kept.data.map(({ message_id }) => message_id)).toEqual([message.message_id]);
  });

  it('neither reads nor cancels a message of another account by its id', async () => {
    const path = `/v1/messages/${message.message_id}`;
    expect((await a.call('GET', path)).status).toBe(404);
    expect((await a.call('DELETE', path)).status).toBe(404);
    expect((await b.call('GET', path)).status).toBe(200);
  });

  it('cannot replay or occupy an Idempotency-Key of another account', async () => {
    const answer = await a.send(foreign, { directive: 'spec:secret' }, { 'idempotency-key': 'guessed' });
    expect(answer.status).toBe(404);
    const again = await b.send(foreign, { directive: 'spec:secret' }, { 'idempotency-key': 'guessed' });
    expect(again.body.message_id).toBe(message.message_id);
  });

  it('gets 404 for items of another account in a batch, and 202 for its own', async () => {
    const messages = [foreign, 'of-a-0', missing].map((client_id) => ({ client_id, directive: 'spec:batch' }));
    const { body } = await a.call<{ results: { status: number }[] }>('POST', '/v1/messages', { messages });
    expect(body.results.map(({ status }) => status)).toEqual([404, 202, 404]);
  });

  it('does not see the cluster', async () => {
    for (const path of ['/v1/cluster', '/v1/cluster/anything']) {
      expect((await a.call('GET', path)).status).toBe(404);
    }
    expect((await all.call('GET', '/v1/cluster')).status).toBe(200);
  });
});

it('an event stream has the events of the connections of the account of the caller, and no others', async () => {
  const [mine, pointed, whole] = await Promise.all([
    EventListener.open(gateway.url, {}, undefined, keyOfA),
    EventListener.open(gateway.url, { client_id: 'of-b-3' }, undefined, keyOfA),
    EventListener.open(gateway.url, {}, undefined, keyOfAll),
  ]);
  const start = whole.lastId;
  const since = new Date().toISOString();
  const sent = await Promise.all(['of-a-2', 'of-b-3'].map((id) => all.send(id, { directive: 'spec:event' })));
  endpoint.accounts.set('of-a-new', 'a');
  const nobody = await connect('nobodys');
  const fresh = await connect('of-a-new');
  const statuses = (listener: EventListener, id: string): unknown[] =>
    withoutGivenUpClaims(
      listener.of(id).flatMap(({ event, data }) => (event === 'message.status' ? [data['status']] : [])),
    );
  await whole.until('the message of b is sent', () => expect(statuses(whole, 'of-b-3')).toEqual(SENT));
  await whole.until('the client without an account comes online', () =>
    expect(whole.of('nobodys').map(({ event }) => event)).toEqual(['connection.online']),
  );
  // Its account was unknown when it came online; the event waited until it was known.
  await mine.until('the new client of a comes online', () =>
    expect(mine.of('of-a-new').map(({ event }) => event)).toEqual(['connection.online']),
  );
  await mine.until('the message of a is sent', () => expect(statuses(mine, 'of-a-2')).toEqual(SENT));
  // A cursor of a caller without an account shows no more.
  const resumed = await EventListener.open(gateway.url, {}, start, keyOfA);
  await resumed.until('the resumed stream has the message of a', () =>
    expect(statuses(resumed, 'of-a-2')).toEqual(SENT),
  );
  const began = await EventListener.open(gateway.url, { since }, undefined, keyOfA);
  await began.until('the stream that begins at a time has the message of a', () =>
    expect(statuses(began, 'of-a-2')).toEqual(SENT),
  );
  for (const listener of [mine, pointed, resumed, began]) {
    for (const { data } of listener.received) expect(data['client_id']).toMatch(/^of-a/);
  }
  expect(pointed.received).toEqual([]);
  expect(sent.map(({ status }) => status)).toEqual([202, 202]);
  for (const listener of [mine, pointed, whole, resumed, began]) listener.close();
  await Promise.all([nobody, fresh].map((client) => client.sayGoodbye()));
});

it('a client is registered and hidden while ACCOUNTS_URL fails, and shown to its account later', async () => {
  const moods = ['away', 'hangs', 'moved', 'huge', 'nonsense'] as const;
  const found = moods.map(async (mood) => {
    const id = `late-${mood}`;
    endpoint.accounts.set(id, 'a');
    endpoint.moods.set(id, mood);
    const client = await connect(id);
    await all.untilConnection(id, ({ state }) => state === 'online');
    await waitUntil(() => expect(endpoint.asked.filter(({ clientId }) => clientId === id).length).toBeGreaterThan(1));
    for (const api of [a, b]) expect([id, (await api.connection(id)).status]).toEqual([id, 404]);
    endpoint.moods.delete(id);
    await a.untilConnection(id, ({ state }) => state === 'online');
    expect([id, (await b.connection(id)).status]).toEqual([id, 404]);
    await client.sayGoodbye();
  });
  await Promise.all(found);
});

it('other clients are not delayed while ACCOUNTS_URL does not answer for a hundred', async () => {
  endpoint.moods.set('hang-', 'hangs');
  const clients = await Promise.all(Array.from({ length: 100 }, (_, i) => connect(`hang-${i}`)));
  await waitUntil(() => expect(endpoint.asked.some(({ clientId }) => clientId.startsWith('hang-'))).toBe(true));
  const { body } = await a.send('of-a-4', { directive: 'spec:during' });
  expect((await a.untilStatus(body.message_id, 'sent')).status).toBe('sent');
  const newcomer = await connect('unasked');
  await all.untilConnection('unasked', ({ state }) => state === 'online');
  endpoint.moods.delete('hang-');
  await Promise.all([...clients, newcomer].map((client) => client.mqtt.endAsync(true)));
});

it('a client that moves to another account takes its connection with it, and not its messages', async () => {
  const id = 'of-a-moves';
  endpoint.accounts.set(id, 'a');
  const client = await connect(id);
  await a.untilConnection(id, ({ state }) => state === 'online');
  const { body: before } = await a.send(id, { directive: 'spec:before' });
  await a.untilStatus(before.message_id, 'sent');
  await client.sayGoodbye();
  await a.untilConnection(id, ({ state }) => state === 'offline');
  endpoint.accounts.set(id, 'b');
  await waitUntil(async () => {
    // The cached account expires.
    const again = await connect(id);
    await all.untilConnection(id, ({ state }) => state === 'online');
    const { status } = await b.connection(id);
    if (status === 200) return;
    await again.sayGoodbye();
    await all.untilConnection(id, ({ state }) => state === 'offline');
    throw new Error('the former account is still cached');
  });
  expect((await a.connection(id)).status).toBe(404);
  expect(await list(a, 'fqdn=shared.example.com', 100)).not.toContain(id);
  expect(await list(b, 'fqdn=shared.example.com', 100)).toContain(id);
  expect((await a.call('GET', `/v1/messages/${before.message_id}`)).status).toBe(200);
  expect((await b.call('GET', `/v1/messages/${before.message_id}`)).status).toBe(404);
  const { body: listed } = await b.call<{ data: MessageView[] }>('GET', `/v1/connections/${id}/messages`);
  expect(listed.data).toEqual([]);
});
