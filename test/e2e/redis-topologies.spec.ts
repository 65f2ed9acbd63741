/** The whole system while Redis changes: a slot of a cluster moves, a master behind Sentinels is killed, a master fills up. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { shardOf } from '@app/protocol';
import { RegistryKeys } from '@app/registry';
import { startRedisCluster, startSentinels } from '../../scripts/redis-topologies.mjs';
import { HOST, startApp, startMosquitto, stopAll, waitUntil } from '../../scripts/stack.mjs';
import { Api, type MessageView } from '../support/api.js';
import { TestClient } from '../support/mqtt-client.js';

const SHARDS = 32;

let dir: string;
let api: Api;
let mosquitto: Awaited<ReturnType<typeof startMosquitto>>;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'cloud-connector-topologies-'));
});

afterEach(async () => {
  await stopAll();
  rmSync(dir, { recursive: true });
});

async function startSystem(redisUrl: string): Promise<void> {
  mosquitto = await startMosquitto({ dir });
  const env = { REDIS_URL: redisUrl, MQTT_URL: mosquitto.url, LEASE_TIME: '2s' };
  const [gateway] = await Promise.all([
    startApp('api-gateway', { dir, env }),
    startApp('status-ingester', { dir, env }),
    startApp('dispatcher', { dir, env }),
  ]);
  api = new Api(gateway.url);
}

async function online(id: string): Promise<TestClient> {
  const client = await TestClient.connect(mosquitto.url, id);
  const handshake = await client.shakeHands();
  await api.untilConnection(id, (it) => it.state === 'online' && it.handshake_message_id === handshake);
  return client;
}

/** Repeats the request with the same Idempotency-Key until it is answered, as callers should. */
async function send(id: string, payload: unknown, key: string): Promise<MessageView> {
  return waitUntil(async () => {
    const { status, body } = await api.send(id, { directive: 'test:n', payload }, { 'idempotency-key': key });
    if (status !== 202) throw new Error(`answered ${status}`);
    return body;
  });
}

it('no message is lost and their order is kept while a slot moves to another master', async () => {
  const cluster = await startRedisCluster({ dir, persist: true });
  await startSystem(cluster.url);
  const client = await online('mover');
  const moved = new AbortController();
  const moving = moveSlotOf(new RegistryKeys('cc').mailbox(shardOf('mover', SHARDS)), cluster.ports).then(() => {
    moved.abort();
  });
  const ids: string[] = [];
  let handshake = '';
  while (!moved.signal.aborted || ids.length < 100) {
    handshake = await client.shakeHands();
    ids.push((await send('mover', ids.length, `mover-${ids.length}`)).message_id);
  }
  await moving;
  await api.untilStatus(ids.at(-1) ?? '', 'sent');
  await api.untilConnection('mover', (it) => it.state === 'online' && it.handshake_message_id === handshake);
  const received = client.received.filter(({ type }) => type === 'message').map(({ message_id }) => message_id);
  // Messages are sent at least once: the one in flight may be repeated.
  expect(received.filter((id, i) => received.indexOf(id) === i)).toEqual(ids);
  client.vanish();
});

it('everything that the replica has confirmed is kept if the master behind Sentinels is killed, and the system recovers', async () => {
  const sentinels = await startSentinels({ dir });
  await startSystem(sentinels.url);
  const client = await online('survivor');
  client.vanish();
  await api.untilConnection('survivor', ({ state }) => state === 'offline');
  const held: string[] = [];
  for (let n = 0; n < 10; n++) held.push((await send('survivor', n, `held-${n}`)).message_id);
  const master = new Redis(sentinels.master.port, HOST);
  // Replication is asynchronous: without this wait the last messages might be lost.
  await master.set('cc:spec', 'last write');
  expect(await master.wait(1, 5000)).toBe(1);
  master.disconnect();
  await sentinels.master.kill();

  const after = (await send('survivor', 'after', 'after')).message_id;
  const back = await online('survivor');
  await api.untilStatus(after, 'sent');
  const received = back.received.filter(({ type }) => type === 'message').map(({ message_id }) => message_id);
  expect(received.filter((id, i) => received.indexOf(id) === i)).toEqual([...held, after]);
  back.vanish();
  await api.untilConnection('survivor', ({ state }) => state === 'offline');
});

it('only the shards of a master that is full refuse new messages, and they accept them again when it has room', async () => {
  const cluster = await startRedisCluster({ dir });
  await startSystem(cluster.url);
  const nodes = cluster.ports.map(({ port }) => new Redis(port, HOST));
  try {
    await Promise.all(nodes.map((node) => node.config('SET', 'maxmemory', MAXMEMORY)));
    const keys = new RegistryKeys('cc');
    const ranges = (await nodes[0]?.cluster('SLOTS')) ?? [];
    const masterOf = async (key: string): Promise<number> => {
      const slot = Number(await nodes[0]?.cluster('KEYSLOT', key));
      const port = ranges.find(([first, last]) => first <= slot && slot <= last)?.[2]?.[1];
      return cluster.ports.findIndex((one) => one.port === port);
    };
    const clientOn = async (wanted: (master: number) => boolean, prefix: string): Promise<string> => {
      for (let i = 0; i < 1000; i++) {
        const id = `${prefix}-${i}`;
        if (wanted(await masterOf(keys.mailbox(shardOf(id, SHARDS))))) return id;
      }
      throw new Error('found no client on such a master');
    };
    // First a master with neither the members nor the wake-up queue, and then the master with the wake-up queue.
    const central = await Promise.all([masterOf(keys.cluster.alive), masterOf(`${keys.queuePrefix}:x`)]);
    const ordinary = [0, 1, 2].find((master) => !central.includes(master));
    const wakeUps = central[1];
    for (const [turn, full] of [ordinary, wakeUps].entries()) {
      if (full === undefined) continue;
      const node = nodes[full];
      if (node === undefined) throw new Error('no such master');
      const [inFull, late] = [
        await clientOn((at) => at === full, `full-${turn}`),
        await clientOn((at) => at === full, `late-${turn}`),
      ];
      const beside = await clientOn((at) => at !== full, `beside-${turn}`);
      const [fullClient, besideClient] = [await online(inFull), await online(beside)];
      await fullClient.sayGoodbye();
      await api.untilConnection(inFull, ({ state }) => state === 'offline');
      const held = (await send(inFull, 'held', `held-${turn}`)).message_id;
      const cancelled = (await send(inFull, 'cancelled', `cancelled-${turn}`)).message_id;

      const tag = keys.mailbox(shardOf(inFull, SHARDS)).match(/\{[^}]*\}/)?.[0] ?? '';
      await fill(node, tag);
      await waitUntil(async () => expect((await api.send(inFull, { directive: 'test:n' })).status).toBe(503));
      expect((await api.call('DELETE', `/v1/messages/${cancelled}`)).status).toBe(204);
      const lateClient = await online(late);
      lateClient.vanish();
      await api.untilConnection(late, ({ state }) => state === 'offline');
      const passing = (await send(beside, 'passing', `passing-${turn}`)).message_id;
      if (full === ordinary) await api.untilStatus(passing, 'sent');
      const back = await online(inFull);
      await assertFull(node, tag);

      await empty(node, tag);
      await api.untilStatus(passing, 'sent');
      await api.untilStatus(held, 'sent');
      await send(inFull, 'after', `after-${turn}`);
      for (const client of [back, besideClient]) await client.sayGoodbye();
    }
  } finally {
    for (const node of nodes) node.disconnect();
  }
}, 180_000);

const MAXMEMORY = 64 * 1_048_576;

/** Fills one master as another program would: just above its limit, and not so far that the lanes stop. */
async function fill(node: Redis, tag: string): Promise<void> {
  const used = async (): Promise<number> => Number(/^used_memory:(\d+)/m.exec(await node.info('memory'))?.[1]);
  for (let i = 0; i < 1000 && (await used()) < 0.9 * MAXMEMORY; i++) {
    // Small values: the buffers of this connection must not take much of the memory.
    await node.set(`foreign:${tag}:${i}`, 'x'.repeat(100_000));
  }
  await node.config('SET', 'maxmemory', Math.floor((await used()) / 1.03));
  await assertFull(node, tag);
}

async function assertFull(node: Redis, tag: string): Promise<void> {
  await expect(node.set(`foreign:${tag}:more`, 'x')).rejects.toThrow('OOM');
}

async function empty(node: Redis, tag: string): Promise<void> {
  await node.config('SET', 'maxmemory', MAXMEMORY);
  for (const key of await node.keys(`foreign:${tag}:*`)) await node.del(key);
}

async function moveSlotOf(key: string, ports: { port: number }[]): Promise<void> {
  const nodes = ports.map(({ port }) => new Redis(port, HOST));
  const ids = await Promise.all(nodes.map(async (node) => String(await node.call('CLUSTER', 'MYID'))));
  const slot = Number(await nodes[0]?.cluster('KEYSLOT', key));
  const ranges = (await nodes[0]?.cluster('SLOTS')) ?? [];
  const owner = ranges.find(([first, last]) => first <= slot && slot <= last)?.[2]?.[2] ?? '';
  const from = ids.indexOf(owner);
  const to = (from + 1) % nodes.length;
  const [source, target] = [nodes[from], nodes[to]];
  if (source === undefined || target === undefined) throw new Error(`no master has slot ${slot}`);
  await target.cluster('SETSLOT', slot, 'IMPORTING', owner);
  await source.cluster('SETSLOT', slot, 'MIGRATING', ids[to] ?? '');
  for (;;) {
    const keys = await source.cluster('GETKEYSINSLOT', slot, 5);
    if (keys.length === 0) break;
    await source.call('MIGRATE', HOST, `${ports[to]?.port}`, '', '0', '5000', 'KEYS', ...keys);
  }
  for (const node of [target, source]) await node.cluster('SETSLOT', slot, 'NODE', ids[to] ?? '');
  for (const node of nodes) node.disconnect();
}
