/** Redis as a cluster of three masters, and behind Sentinels: real servers on free loopback ports, for the tests. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { HOST, freePort, launch, startRedis, waitUntil } from './stack.mjs';
import { findProgram } from './setup.mjs';

const SLOTS = 16_384;
const MASTERS = 3;
const SENTINELS = 3;
/** How long a server may be silent before the others treat it as failed, in milliseconds. */
const SILENCE_MS = 1000;

/** Asks the server on a port. @template T @param {number} port @param {(redis: Redis) => Promise<T>} ask */
async function asking(port, ask) {
  const redis = new Redis(port, HOST, { retryStrategy: null });
  redis.on('error', () => undefined);
  try {
    return await ask(redis);
  } finally {
    redis.disconnect();
  }
}

/**
 * A Redis Cluster of three masters without replicas. With the `ports` of an earlier cluster in the same folder, that
 * cluster is started again.
 * @param {{ dir: string, persist?: boolean, ports?: { port: number, bus: number }[] | undefined }} options
 */
export async function startRedisCluster({ dir, persist = false, ports }) {
  const at = ports ?? [];
  if (ports === undefined) {
    for (let i = 0; i < MASTERS; i++) at.push({ port: await freePort(), bus: await freePort() });
  }
  const startNode = (/** @type {number} */ i) => {
    const { port = 0, bus = 0 } = at[i] ?? {};
    const args = ['--cluster-enabled', 'yes', '--cluster-port', `${bus}`, '--cluster-node-timeout', `${SILENCE_MS}`];
    return startRedis({ dir, persist, port, name: `redis-${i}`, args });
  };
  const nodes = await Promise.all(at.map((_, i) => startNode(i)));
  if (ports === undefined) await form(at);
  await Promise.all(at.map(({ port }) => asking(port, (redis) => waitUntil(() => assertFormed(redis)))));
  return {
    nodes,
    ports: at,
    url: `redis+cluster://${at.map(({ port }) => `${HOST}:${port}`).join(',')}`,
    /** Starts a node again that has ended. @param {number} i */
    async again(i) {
      nodes[i] = await startNode(i);
    },
    async stop() {
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

/** Spreads the slots over the nodes and introduces them to each other. @param {{ port: number, bus: number }[]} at */
async function form(at) {
  for (const [i, { port }] of at.entries()) {
    const from = Math.ceil((SLOTS * i) / at.length);
    const to = Math.ceil((SLOTS * (i + 1)) / at.length) - 1;
    await asking(port, async (redis) => {
      await redis.cluster('ADDSLOTSRANGE', from, to);
      await redis.cluster('SET-CONFIG-EPOCH', i + 1);
      if (i > 0) await redis.call('CLUSTER', 'MEET', HOST, `${at[0]?.port}`, `${at[0]?.bus}`);
    });
  }
}

async function assertFormed(/** @type {Redis} */ redis) {
  const info = String(await redis.cluster('INFO'));
  if (!info.includes('cluster_state:ok') || !info.includes(`cluster_size:${MASTERS}`)) throw new Error(info);
}

/**
 * A master with a replica, watched by three Sentinels.
 * @param {{ dir: string }} options
 */
export async function startSentinels({ dir }) {
  const master = await startRedis({ dir, name: 'redis-master' });
  const replica = await startRedis({ dir, name: 'redis-replica', args: ['--replicaof', `${HOST} ${master.port}`] });
  await asking(replica.port, (redis) =>
    waitUntil(async () => {
      const info = await redis.info('replication');
      if (!info.includes('master_link_status:up')) throw new Error(info);
    }),
  );
  const sentinels = await Promise.all(
    Array.from({ length: SENTINELS }, (_, i) => startSentinel(dir, `sentinel-${i}`, master.port)),
  );
  const [first] = sentinels;
  await asking(first?.port ?? 0, (redis) =>
    waitUntil(async () => {
      const [known] = /** @type {string[][]} */ (await redis.call('SENTINEL', 'MASTERS'));
      const field = (/** @type {string} */ name) => known?.[known.indexOf(name) + 1];
      if (field('num-slaves') !== '1' || field('num-other-sentinels') !== `${SENTINELS - 1}`) {
        throw new Error(JSON.stringify(known));
      }
    }),
  );
  return {
    master,
    replica,
    sentinels,
    url: `redis+sentinel://${sentinels.map(({ port }) => `${HOST}:${port}`).join(',')}/main`,
    async stop() {
      await Promise.all([...sentinels, replica, master].map((part) => part.stop()));
    },
  };
}

/** @param {string} dir @param {string} name @param {number} masterPort */
async function startSentinel(dir, name, masterPort) {
  const port = await freePort();
  const file = join(dir, `${name}.conf`);
  const lines = [
    ...[`port ${port}`, `bind ${HOST}`, `dir ${dir}`],
    `sentinel monitor main ${HOST} ${masterPort} 2`,
    `sentinel down-after-milliseconds main ${SILENCE_MS}`,
    'sentinel failover-timeout main 5000',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const part = launch(name, findProgram('redis-server') ?? 'redis-server', [file, '--sentinel'], { dir });
  await part.until(() => asking(port, (redis) => redis.ping()));
  return Object.assign(part, { port });
}
