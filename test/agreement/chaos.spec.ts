/**
 * Clients connect, disconnect, take over their own sessions, send errors and vanish, while random faults hit the cluster.
 * When both stop, the registry must become equal to what the broker retains, for every client. `TEST_SEED` replays the
 * faults and what each client does, but not their timing. `CHAOS_CLIENTS` and `CHAOS_ROUNDS` make the test larger and longer.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import {
  HOST,
  SAVED_AT_EACH_CHANGE,
  freePort,
  startApp,
  startMosquitto,
  startRedis,
  stopAll,
  waitUntil,
} from '../../scripts/stack.mjs';
import { CONTRARY_CONFIG, Detour } from '../support/contrary/detour.js';
import { Random, seedOfRun } from '../support/random.js';
import { Population } from './population.js';
import { differences } from './retained-store.js';

const seed = seedOfRun();
const CLIENTS = Number(process.env['CHAOS_CLIENTS'] ?? 200);
/** How often each fault happens with each number of lanes. */
const ROUNDS = Number(process.env['CHAOS_ROUNDS'] ?? 0);
const INGESTERS = 3;
const FAULTS = [
  'ingester killed',
  'ingester frozen',
  'broker restarted',
  'broker killed',
  'broker killed without saving',
  'Redis emptied',
] as const;
type Fault = (typeof FAULTS)[number];

/** Faults, and the pauses between them, last for a random number of acts of the clients, not for a time. */
const ACTS_A_SECOND = Math.ceil(CLIENTS / 0.75);
/** Short, so that the window after a restart of the broker ends during the test. */
const RECONFIRM_WINDOW = '2s';
/** The broker reports its uptime each second, so that ingesters detect a restart. */
const BROKER_CONFIG = [...CONTRARY_CONFIG, 'sys_interval 1', ...SAVED_AT_EACH_CHANGE];
const RESTART_LOGGED = 'the broker was restarted';

/** The faults by number of lanes. Without rounds, each fault happens once. */
const shuffled = new Random(seed).shuffled(FAULTS);
const planned = new Map(
  [1, 2, 4].map((lanes, i) => {
    const rounds = Array.from({ length: ROUNDS }, (_, round) => new Random(seed + round + lanes).shuffled(FAULTS));
    return [lanes, ROUNDS > 0 ? rounds.flat() : shuffled.slice(2 * i, 2 * i + 2)];
  }),
);

class Cluster {
  private readonly ingesters: Awaited<ReturnType<typeof startApp>>[] = [];
  private started = 0;

  private constructor(
    private readonly dir: string,
    private readonly env: Record<string, string>,
    private readonly redisUrl: string,
    private mosquitto: Awaited<ReturnType<typeof startMosquitto>>,
    readonly detour: Detour,
    readonly gatewayUrl: string,
    private readonly random: Random,
  ) {}

  static async start(dir: string, lanes: number, random: Random): Promise<Cluster> {
    const [redis, mosquitto] = await Promise.all([
      startRedis({ dir }),
      startMosquitto({ dir, persist: true, config: BROKER_CONFIG }),
    ]);
    const detour = await Detour.before(mosquitto);
    const env = { REDIS_URL: redis.url, MQTT_URL: detour.appUrl, LEASE_TIME: '2s', LOG_LEVEL: 'info' };
    const port = await freePort();
    const ingesterEnv = { ...env, INTAKE_LANES: `${lanes}`, RECONFIRM_WINDOW };
    const cluster = new Cluster(dir, ingesterEnv, redis.url, mosquitto, detour, `http://${HOST}:${port}`, random);
    const ingesters = Array.from({ length: INGESTERS }, () => cluster.add());
    await Promise.all([startApp('api-gateway', { dir, env, port }), ...ingesters]);
    return cluster;
  }

  get brokerUrl(): string {
    return this.mosquitto.url;
  }

  /** How many restarts of the broker all ingesters together have logged. */
  get restartsLogged(): number {
    const logs = Array.from({ length: this.started }, (_, i) =>
      readFileSync(join(this.dir, `ingester-${i}.log`), 'utf8'),
    );
    return logs.join('').split(RESTART_LOGGED).length - 1;
  }

  async untilReady(): Promise<void> {
    await waitUntil(
      async () => {
        for (const { url } of this.ingesters) expect((await fetch(`${url}/health/ready`)).status).toBe(200);
      },
      { what: 'all ingesters to be ready' },
    );
  }

  async inject(fault: Fault, population: Population): Promise<void> {
    const one = this.random.pick(this.ingesters);
    switch (fault) {
      case 'ingester killed':
        this.ingesters.splice(this.ingesters.indexOf(one), 1);
        await one.kill();
        await population.afterActs(this.random.below(2 * ACTS_A_SECOND));
        return this.add();
      case 'ingester frozen':
        process.kill(one.pid ?? 0, 'SIGSTOP');
        await population.afterActs(this.random.below(5 * ACTS_A_SECOND));
        process.kill(one.pid ?? 0, 'SIGCONT');
        return;
      case 'broker restarted':
        await this.mosquitto.stop();
        return this.startBroker(population);
      case 'broker killed':
        await this.mosquitto.kill();
        return this.startBroker(population);
      case 'broker killed without saving':
        await this.mosquitto.kill();
        rmSync(join(this.dir, 'mosquitto', 'mosquitto.db'), { force: true });
        return this.startBroker(population);
      case 'Redis emptied': {
        const redis = new Redis(this.redisUrl);
        await redis.flushall();
        redis.disconnect();
      }
    }
  }

  private async startBroker(population: Population): Promise<void> {
    await population.afterActs(this.random.below(ACTS_A_SECOND));
    const { port } = this.mosquitto;
    this.mosquitto = await startMosquitto({ dir: this.dir, port, persist: true, config: BROKER_CONFIG });
  }

  private async add(): Promise<void> {
    const name = `ingester-${this.started++}`;
    this.ingesters.push(await startApp('status-ingester', { dir: this.dir, name, env: this.env }));
  }
}

describe.each([1, 2, 4])('a cluster with %i lanes', (lanes) => {
  const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-agreement-'));
  let cluster: Cluster;
  const faults = planned.get(lanes) ?? [];

  afterEach(async () => {
    await stopAll();
    await cluster.detour.stop();
    rmSync(dir, { recursive: true });
  });

  it(
    `makes the registry equal to what the broker retains after the faults ${faults.join(', ')} (seed ${seed})`,
    async () => {
      const random = new Random(seed + lanes);
      cluster = await Cluster.start(dir, lanes, random);
      const population = new Population(cluster.detour.deviceUrl, CLIENTS, seed);
      population.start();
      for (const fault of faults) {
        await population.afterActs(ACTS_A_SECOND / 2 + random.below(2 * ACTS_A_SECOND));
        await cluster.inject(fault, population);
      }
      await population.afterActs(random.below(2 * ACTS_A_SECOND));
      await population.pause();
      const untilEqual = (unconfirmed: 'allowed' | 'wrong'): Promise<void> =>
        waitUntil(
          async () => {
            const { brokerUrl, gatewayUrl } = cluster;
            const found = await differences(brokerUrl, gatewayUrl, population.ids, lanes, unconfirmed);
            if (found.length > 0) throw new Error(`${found.length}:\n${found.slice(0, 20).join('\n')}`);
          },
          { what: `registry and broker to be equal (seed ${seed})`, everyMs: 100 },
        );
      const restarts = faults.filter((fault) => fault.startsWith('broker')).length;
      await untilEqual(restarts > 0 ? 'allowed' : 'wrong');
      // Clients that send a handshake after the faults become online and stay online.
      await cluster.untilReady();
      await population.confirm();
      await untilEqual('wrong');
      expect(cluster.restartsLogged).toBeLessThanOrEqual(restarts);
      population.end();
    },
    240_000 + ROUNDS * 60_000,
  );
});
