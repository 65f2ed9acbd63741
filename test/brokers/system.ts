/** The apps on one broker: two ingesters with two lanes, two dispatchers and a gateway. Each can be killed and replaced. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startApp, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { ClusterBody } from '../../apps/api-gateway/src/cluster/cluster.dto.js';
import type { SweepBody } from '../../apps/api-gateway/src/cluster/sweep.dto.js';
import { Api } from '../support/api.js';
import type { BrokerKind, RunningBroker } from './brokers.mjs';

export const LANES = 2;
const WAIT_MS = 60_000;

type App = Awaited<ReturnType<typeof startApp>>;
type AppName = 'status-ingester' | 'dispatcher';

export class System {
  private readonly apps: Record<AppName, App[]> = { 'status-ingester': [], dispatcher: [] };
  private started = 0;

  private constructor(
    readonly dir: string,
    private readonly kind: BrokerKind,
    private readonly persist: boolean,
    private broker: RunningBroker,
    private readonly env: Record<string, string>,
    readonly api: Api,
  ) {}

  static async start(kind: BrokerKind, persist: boolean): Promise<System> {
    const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-brokers-'));
    const [redis, broker] = await Promise.all([startRedis({ dir }), kind.start({ dir, persist })]);
    const env = {
      ...{ REDIS_URL: redis.url, MQTT_URL: broker.url, INTAKE_LANES: `${LANES}`, LEASE_TIME: '2s' },
      // Each change is one event, at once.
      EVENT_SETTLE: '0s',
    };
    const gateway = await startApp('api-gateway', { dir, env });
    const system = new System(dir, kind, persist, broker, env, new Api(gateway.url));
    const names: AppName[] = ['status-ingester', 'status-ingester', 'dispatcher', 'dispatcher'];
    await Promise.all(names.map((name) => system.add(name)));
    return system;
  }

  get brokerUrl(): string {
    return this.broker.url;
  }

  /** Kills one app of this name, and starts another one. */
  async replace(name: AppName): Promise<void> {
    await this.apps[name].shift()?.kill();
    await this.add(name);
  }

  /** Runs `act` while no ingester is running. */
  async withoutIngesters(act: () => Promise<void>): Promise<void> {
    const stopped = this.apps['status-ingester'].splice(0);
    await Promise.all(stopped.map((app) => app.stop()));
    await act();
    await Promise.all(stopped.map(() => this.add('status-ingester')));
  }

  /** Stops the broker, and starts it again on its port. */
  async restartBroker(): Promise<void> {
    const { kind, dir, persist, broker } = this;
    await broker.stop();
    this.broker = await kind.start({ dir, persist, port: broker.port });
  }

  /** Waits until all apps are ready and each lane has an owner. */
  async untilReady(): Promise<void> {
    await waitUntil(
      async () => {
        for (const { url, name } of Object.values(this.apps).flat()) {
          const { status } = await fetch(`${url}/health/ready`);
          if (status !== 200) throw new Error(`${name} is not ready`);
        }
        const { lanes } = (await this.api.call<ClusterBody>('GET', '/v1/cluster')).body;
        if (lanes.length !== LANES || lanes.some(({ owner }) => owner === null)) throw new Error(JSON.stringify(lanes));
      },
      { what: 'all apps to be ready', timeoutMs: WAIT_MS, everyMs: 100 },
    );
  }

  /** Requests a sweep, and waits until it has ended. */
  sweep(): Promise<SweepBody> {
    return this.api.sweep(2 * WAIT_MS);
  }

  async stop(): Promise<void> {
    await stopAll();
    if (process.env['KEEP_LOGS'] === undefined) rmSync(this.dir, { recursive: true, force: true });
  }

  private async add(name: AppName): Promise<void> {
    const { dir, env } = this;
    this.apps[name].push(await startApp(name, { dir, env, name: `${name}-${this.started++}` }));
  }
}
