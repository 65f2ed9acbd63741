/** What callers get of the routes for people who look: the whole, that of one account, or nothing. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RegistryKeys, encodeConnection } from '@app/registry';
import type { Redis } from '@app/platform';
import { shardOf } from '@app/protocol';
import { hostConnection } from '../../../test/support/connections.js';
import { GatewayApp } from '../../../test/support/gateway-app.js';
import { withRedis } from '../../../test/support/redis.js';
import { eventually } from '../../../test/support/servers.js';
import { mintKey, type KeyEntry } from './access/api-keys.js';
import { SCOPES, type Scope } from './access/scopes.js';

const SHARDS = 4;
const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-callers-'));
const keys = new RegistryKeys('cc');
const ring: { entries: KeyEntry[]; keys: Map<string, string> } = { entries: [], keys: new Map() };
let redis: Redis;
let url: string;
let gateway: GatewayApp;

withRedis((connection, server) => {
  redis = connection;
  url = server.url;
});

function addKey(id: string, scopes: readonly Scope[], account?: string): void {
  const { key, entry } = mintKey({ id, scopes: [...scopes], ...(account !== undefined && { account }) });
  ring.entries.push(entry);
  ring.keys.set(id, key);
}

beforeAll(async () => {
  addKey('all', SCOPES);
  addKey('looks', ['cluster:read']);
  addKey('counts', ['connections:read']);
  addKey('acme', SCOPES, 'acme');
  const path = join(dir, 'keys.json');
  writeFileSync(path, JSON.stringify({ keys: ring.entries }));
  gateway = await GatewayApp.listen({ REDIS_URL: url, SHARD_COUNT: `${SHARDS}`, API_KEYS_FILE: path });
  await register('mine', 'acme');
  await register('another', undefined);
  for (const id of ['mine', 'another']) await send('all', id);
});

afterAll(async () => {
  await gateway.stop();
  rmSync(dir, { recursive: true });
});

async function register(id: string, account: string | undefined): Promise<void> {
  const shard = shardOf(id, SHARDS);
  const connection = hostConnection(id, { state: 'offline', offline_reason: 'goodbye', account: account ?? null });
  await redis.hset(keys.connections(shard), id, encodeConnection(connection));
  await redis.zadd(keys.offline(shard, 'host', 'goodbye'), 0, id);
  if (account === undefined) return;
  await redis.hset(keys.accounts(shard), id, account);
  await redis.zadd(keys.offline(shard, 'host', 'goodbye', account), 0, id);
}

// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the caller knows what the path answers with
async function get<Body>(key: string, path: string): Promise<{ status: number; body: Body }> {
  const response = await fetch(gateway.url + path, { headers: { authorization: `Bearer ${ring.keys.get(key)}` } });
  return { status: response.status, body: (await response.json()) as Body };
}

async function send(key: string, clientId: string): Promise<void> {
  const response = await fetch(`${gateway.url}/v1/connections/${clientId}/messages`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ring.keys.get(key)}`, 'content-type': 'application/json' },
    body: JSON.stringify({ directive: 'test' }),
  });
  expect(response.status).toBe(202);
}

it('every key may ask who it is', async () => {
  expect((await get('looks', '/v1/whoami')).body).toEqual({ id: 'key:looks', account: null, scopes: ['cluster:read'] });
  expect((await get('acme', '/v1/whoami')).body).toMatchObject({ id: 'key:acme', account: 'acme' });
});

it('the cluster shows this gateway to those who may look at it, and does not exist for a caller of an account', async () => {
  await eventually('the gateway has sent a heartbeat', async () => {
    const { status, body } = await get<{ gateways: unknown[] }>('looks', '/v1/cluster');
    expect(status).toBe(200);
    expect(body.gateways).toHaveLength(1);
  });
  const { body } = await get<{ redis: object[] }>('all', '/v1/cluster');
  expect(body).toMatchObject({ dispatchers: [], dead_letters: 0, redis: [{ limit_bytes: null, full: false }] });
  expect((await get('counts', '/v1/cluster')).status).toBe(403);
  expect((await get('acme', '/v1/cluster')).status).toBe(404);
});

it('events about members and dead letters are refused to those who may not look at the cluster', async () => {
  for (const types of ['member.*', 'message.status,dead_letter.added']) {
    expect((await get('counts', `/v1/events?types=${types}`)).status).toBe(403);
  }
});

it('figures are those of everything, of connections only, or of the account of the caller', async () => {
  const all = (await get<Record<string, unknown>>('all', '/v1/stats')).body;
  expect(all).toMatchObject({
    connections: { total: 2 },
    messages: { unfinished: 2 },
    waiting: { connections_held: 2 },
  });
  const { messages, last_hour } = (await get<Record<string, unknown>>('counts', '/v1/stats')).body;
  expect([messages, last_hour]).toEqual([null, null]);
  const ofAccount = (await get<Record<string, unknown>>('acme', '/v1/stats')).body;
  expect(ofAccount).toMatchObject({ connections: { total: 1 }, messages: { unfinished: null }, waiting: null });
  expect((await get('looks', '/v1/stats')).status).toBe(403);
});

interface Found {
  data: { client_id: string; status: string }[];
  next_cursor: string | null;
  looked_at: number | null;
}

it('messages are those to all clients, or to those of the account of the caller, who does not get how many were looked at', async () => {
  const clientsOf = ({ data }: Found): string[] => data.map(({ client_id }) => client_id).sort();
  const all = (await get<Found>('all', '/v1/messages?status=held')).body;
  expect([clientsOf(all), all.looked_at]).toEqual([['another', 'mine'], 2]);
  const first = (await get<Found>('all', '/v1/messages?limit=1')).body;
  const rest = (await get<Found>('all', `/v1/messages?limit=1&cursor=${first.next_cursor}`)).body;
  expect([...clientsOf(first), ...clientsOf(rest)].sort()).toEqual(['another', 'mine']);
  const ofAccount = (await get<Found>('acme', '/v1/messages?status=held')).body;
  expect([clientsOf(ofAccount), ofAccount.looked_at]).toEqual([['mine'], null]);
  expect((await get<Found>('acme', '/v1/messages?client_id=another')).body.data).toEqual([]);
  expect((await get<Found>('all', '/v1/messages?client_id=another')).body.looked_at).toBe(1);
  const later = new Date(Date.now() + 3_600_000).toISOString();
  expect((await get<Found>('all', `/v1/messages?since=${later}`)).body.data).toEqual([]);
});

it.each(['eA', 'WyJ3YWxrIiwwLCJ1bmZpbmlzaGVkIiwiLWluZiIsIiIsIiIsMF0', 'WyJjbGllbnQiLDBd'])(
  'a search refuses the cursor %s, which no page has had',
  async (cursor) => {
    expect((await get('all', `/v1/messages?cursor=${cursor}`)).status).toBe(422);
  },
);

it('connections are found by their prefix, held messages and reason, and a caller of an account finds its own only', async () => {
  const idsOf = async (key: string, query: string): Promise<string[]> => {
    const { body } = await get<{ data: { client_id: string }[] }>(key, `/v1/connections?${query}`);
    return body.data.map(({ client_id }) => client_id).sort();
  };
  expect(await idsOf('all', 'client_id_prefix=mi')).toEqual(['mine']);
  expect(await idsOf('all', 'held=true')).toEqual(['another', 'mine']);
  expect(await idsOf('acme', 'held=true')).toEqual(['mine']);
  expect(await idsOf('acme', 'client_id_prefix=an')).toEqual([]);
  expect(await idsOf('all', 'offline_reason=goodbye&refused=true')).toEqual([]);
  expect((await get('all', '/v1/connections?held=false')).status).toBe(422);
});
