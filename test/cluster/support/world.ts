/** A cluster of real processes under load, with proxies before each ingester, and the checks of its state. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connectAsync } from 'mqtt';
import { HOST, freePort, startApp, startMosquitto, stopAll, waitUntil } from '../../../scripts/stack.mjs';
import type { ClusterBody } from '../../../apps/api-gateway/src/cluster/cluster.dto.js';
import { Api, type ConnectionView } from '../../support/api.js';
import { onStore, startStore, type Store } from '../../support/store.js';
import { Load } from './load.js';
import { Proxy, RedisProxies } from '../../support/proxy.js';
import type { Random } from '../../support/random.js';
import { Witness } from './witness.js';

const SHARDS = 32;
/** The shortest lease that the settings allow. */
const LEASE_MS = 2000;
const WAIT_MS = 60_000;
/** Redirects an ingester's connections to Redis through its proxies. */
const DETOUR = pathToFileURL(join(__dirname, 'detour.mjs')).href;

type App = Awaited<ReturnType<typeof startApp>>;

export interface Ingester {
  name: string;
  app: App;
  redis: RedisProxies;
  broker: Proxy;
  frozen: boolean;
}

export class World {
  readonly ingesters: Ingester[] = [];
  private started = 0;
  /** Id of the last event that was read from each shard. The streams are trimmed, so events must be read in time. */
  private readonly readTo = Array.from({ length: SHARDS }, () => '0-0');
  private readonly published = new Map<string, string[]>();

  private constructor(
    readonly dir: string,
    readonly store: Store,
    readonly mosquitto: Awaited<ReturnType<typeof startMosquitto>>,
    private readonly gatewayUrl: string,
    readonly witness: Witness,
    private readonly stopWitness: () => void,
    readonly load: Load,
    private readonly lanes: number,
    readonly leaseMs: number,
    private readonly settings: Record<string, string>,
  ) {}

  static async start(options: {
    ingesters: number;
    lanes: number;
    clients: number;
    random: Random;
    leaseMs?: number;
    settings?: Record<string, string>;
  }): Promise<World> {
    const { leaseMs = LEASE_MS } = options;
    const settings = { ...options.settings, LEASE_TIME: `${leaseMs}ms` };
    const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-cluster-'));
    const [store, mosquitto] = await Promise.all([startStore(dir, { persist: false }), startMosquitto({ dir })]);
    const env = { REDIS_URL: store.url, MQTT_URL: mosquitto.url };
    const [port, { witness, stop }] = await Promise.all([freePort(), Witness.of(store.ports, leaseMs)]);
    const url = `http://${HOST}:${port}`;
    const load = new Load(mosquitto.url, options.random, options.clients);
    const world = new World(dir, store, mosquitto, url, witness, stop, load, options.lanes, leaseMs, settings);
    await Promise.all([startApp('api-gateway', { dir, env, port }), world.scaleTo(options.ingesters)]);
    load.start();
    return world;
  }

  async stop(): Promise<void> {
    await this.load.stop();
    this.stopWitness();
    for (const ingester of this.ingesters) if (ingester.frozen) this.thaw(ingester);
    for (const { redis, broker } of this.ingesters) {
      redis.heal();
      broker.heal();
    }
    await stopAll();
    await Promise.all(this.ingesters.flatMap(({ redis, broker }) => [redis.stop(), broker.stop()]));
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** The log of a process. */
  logOf(name: string): string {
    return readFileSync(join(this.dir, `${name}.log`), 'utf8');
  }

  /** Starts missing ingesters, or stops the newest ones in order, until there are `count`. */
  async scaleTo(count: number): Promise<void> {
    const missing = Math.max(0, count - this.ingesters.length);
    await Promise.all(Array.from({ length: missing }, () => this.add()));
    await Promise.all(this.ingesters.slice(count).map((ingester) => this.drain(ingester)));
  }

  async add(): Promise<Ingester> {
    const name = `ingester-${this.started++}`;
    const log = join(this.dir, `${name}.log`);
    const [redis, broker] = await Promise.all([
      RedisProxies.before(this.store.ports),
      Proxy.before(this.mosquitto.port, (first) => {
        const lane = /-lane-(\d+)/.exec(first.toString('latin1'))?.[1];
        if (lane !== undefined) this.witness.sawConnect(Number(lane), Date.now() / 1000, name, () => bootsIn(log));
      }),
    ]);
    const env = {
      REDIS_URL: this.store.url,
      NODE_OPTIONS: `--import ${DETOUR}`,
      DETOURS: redis.detours,
      MQTT_URL: `mqtt://127.0.0.1:${broker.port}`,
      INTAKE_LANES: `${this.lanes}`,
      // Without coalescing each handshake has its own event, so that events can be compared with handshakes one by one.
      EVENT_SETTLE: '0s',
      CLIENT_BURST: '1000000',
      CLIENT_BYTES_RATE: '1073741824',
      ...this.settings,
    };
    const app = await startApp('status-ingester', { dir: this.dir, name, env });
    const ingester = { name, app, redis, broker, frozen: false };
    this.ingesters.push(ingester);
    return ingester;
  }

  /** Stops an ingester with SIGTERM, so that it hands over in order. */
  async drain(ingester: Ingester): Promise<void> {
    const how = await ingester.app.stop();
    if (how !== 0) throw new Error(`${ingester.name} did not stop in order: ${how}`);
    await this.remove(ingester);
  }

  async kill(ingester: Ingester): Promise<void> {
    await ingester.app.kill();
    await this.remove(ingester);
  }

  freeze(ingester: Ingester): void {
    process.kill(ingester.app.pid ?? 0, 'SIGSTOP');
    ingester.frozen = true;
  }

  thaw(ingester: Ingester): void {
    process.kill(ingester.app.pid ?? 0, 'SIGCONT');
    ingester.frozen = false;
  }

  /** The ingester that holds the most lanes. */
  async laneOwner(): Promise<Ingester> {
    const owned = await Promise.all(
      this.ingesters.map(async (ingester) => ({ ingester, lanes: await ownedBy(ingester, 'lanes') })),
    );
    const [first] = owned.toSorted((a, b) => b.lanes - a.lanes);
    if (first === undefined || first.lanes === 0) throw new Error('no ingester holds a lane');
    return first.ingester;
  }

  /** Waits until the ingesters that are not excluded own every shard and lane. */
  async untilOwned(...excluded: Ingester[]): Promise<void> {
    await this.until('every shard and lane is owned', async () => {
      const acting = this.ingesters.filter((ingester) => !excluded.includes(ingester));
      for (const [kind, all] of [
        ['shards', SHARDS],
        ['lanes', this.lanes],
      ] as const) {
        const counts = await Promise.all(acting.map((ingester) => ownedBy(ingester, kind)));
        const sum = counts.reduce((a, b) => a + b, 0);
        if (sum !== all) throw new Error(`${kind} owned: ${counts.join(' + ')}`);
      }
    });
  }

  async until(what: string, check: () => Promise<unknown>): Promise<void> {
    await waitUntil(check, { what, timeoutMs: WAIT_MS, everyMs: 50 });
  }

  async cluster(): Promise<ClusterBody> {
    return (await new Api(this.gatewayUrl).call<ClusterBody>('GET', '/v1/cluster')).body;
  }

  /**
   * Checks what must be true whenever the load pauses: every handshake has an event; the witness has seen no violation; and
   * with one lane, the events are in order and the registry equals the retained messages of the broker.
   */
  async verify(): Promise<void> {
    await this.load.pause();
    try {
      await this.until('the mailboxes are empty', async () => {
        const waiting = (await this.cluster()).shards.reduce((sum, shard) => sum + shard.mailbox_depth, 0);
        if (waiting > 0) throw new Error(`${waiting} entries wait`);
      });
      await this.until('every handshake has an event', () => this.compareEvents());
      if (this.lanes === 1) await this.until('the registry equals the broker', () => this.compareStates());
      const violations = [...this.witness.violations, ...this.witness.staleConnects()];
      if (violations.length > 0) throw new Error(violations.join('\n'));
    } finally {
      this.load.resume();
    }
  }

  /** Handshakes with more than one event since the start. */
  async doubled(): Promise<string[]> {
    const published = await this.readEvents();
    return [...published.values()].flatMap((ids) => ids.filter((id, i) => ids.indexOf(id) !== i));
  }

  private async compareEvents(): Promise<void> {
    const published = await this.readEvents();
    for (const [client, handshakes] of this.load.handshakes) {
      const ids = published.get(client) ?? [];
      const missing = handshakes.filter((id) => !ids.includes(id));
      if (missing.length > 0) throw new Error(`${client}: no event for: ${missing.join(', ')}`);
      const firsts = ids.filter((id, i) => ids.indexOf(id) === i && handshakes.includes(id));
      if (this.lanes === 1 && firsts.join() !== handshakes.join())
        throw new Error(
          `${client}: events in the order ${firsts.join(', ')}, sent in the order ${handshakes.join(', ')}`,
        );
    }
  }

  /** Reads new events. @returns the handshake ids of all events since the start, by client, in the order of the events */
  private async readEvents(): Promise<Map<string, string[]>> {
    await onStore(this.store, async (redis) => {
      const shards = this.readTo.map((from, shard) => redis.xrange(`cc:{s${shard}}:events`, `(${from}`, '+'));
      for (const [shard, entries] of (await Promise.all(shards)).entries()) {
        this.readTo[shard] = entries.at(-1)?.[0] ?? this.readTo[shard] ?? '0-0';
        for (const [, fields] of entries) this.record(fields[fields.indexOf('event') + 1] ?? '');
      }
    });
    return this.published;
  }

  private record(event: string): void {
    const { client_id, handshake_message_id: id } = JSON.parse(event) as Record<string, string | undefined>;
    if (client_id === undefined || id === undefined) return;
    const ids = this.published.get(client_id);
    if (ids === undefined) this.published.set(client_id, [id]);
    else ids.push(id);
  }

  private async compareStates(): Promise<void> {
    const retained = await this.retained();
    const connections = await new Api(this.gatewayUrl).connections();
    const states = new Map(connections.map((connection) => [connection.client_id, stateOf(connection)]));
    for (const client of this.load.handshakes.keys()) {
      const message = retained.get(client);
      const actual = states.get(client) ?? 'unknown';
      const expected = message?.type === 'host-handshake' ? message.message_id : 'offline';
      if (actual !== expected && !(actual === 'unknown' && message === undefined))
        throw new Error(`${client} is ${actual}, but ${expected} by the broker's retained message`);
    }
  }

  /** The broker's retained messages by client, read through a plain subscription. */
  private async retained(): Promise<Map<string, { type: string; message_id: string }>> {
    const store = new Map<string, { type: string; message_id: string }>();
    const reader = await connectAsync(this.mosquitto.url, { protocolVersion: 5 });
    const last = `last/${Math.random()}`;
    await reader.publishAsync(last, 'x', { qos: 1, retain: true });
    const end = new Promise<void>((resolve) => {
      reader.on('message', (topic, data, { retain }) => {
        if (topic === last) resolve();
        // No client has an empty id: there the service retains its own control message.
        else if (retain && !topic.endsWith('/'))
          store.set(topic.slice(topic.lastIndexOf('/') + 1), JSON.parse(data.toString()) as never);
      });
    });
    await reader.subscribeAsync('redhat/insights/in/+', { qos: 0 });
    await reader.subscribeAsync(last, { qos: 0 });
    await end;
    await reader.publishAsync(last, '', { qos: 1, retain: true });
    await reader.endAsync();
    return store;
  }

  private async remove(ingester: Ingester): Promise<void> {
    this.ingesters.splice(this.ingesters.indexOf(ingester), 1);
    await Promise.all([ingester.redis.stop(), ingester.broker.stop()]);
  }
}

/** The boot ids with which a process has acquired leases, from its log. */
function bootsIn(log: string): Set<string> {
  return new Set(
    Array.from(readFileSync(log, 'utf8').matchAll(/"member":"[^"]*\/([0-9a-f]+)"/g), ([, boot = '']) => boot),
  );
}

function stateOf({ state, handshake_message_id: id }: ConnectionView): string {
  return state === 'online' ? id : state;
}

function ownedBy(ingester: Ingester, kind: 'shards' | 'lanes'): Promise<number> {
  return metricOf(ingester, `${kind}_owned`);
}

/** A metric of a process; 0 if the process is frozen or does not expose it. `name`: with labels. */
export async function metricOf({ app, frozen }: Ingester, name: string): Promise<number> {
  if (frozen) return 0;
  const metrics = await (await fetch(`${app.url}/metrics`)).text();
  const line = metrics.split('\n').find((one) => one.startsWith(`cloud_connector_${name} `));
  return Number(line?.slice(line.lastIndexOf(' ')) ?? 0);
}
