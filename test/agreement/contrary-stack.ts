/** Redis, Mosquitto and the apps of the contrary scenarios, with one contrary broker before the apps and one before the devices. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startApp, startMosquitto, startRedis, stopAll, waitUntil } from '../../scripts/stack.mjs';
import type { SweepBody } from '../../apps/api-gateway/src/cluster/sweep.dto.js';
import { Api } from '../support/api.js';
import { ContraryBroker } from '../support/contrary-broker.js';
import type { Behaviour } from '../support/contrary/behaviour.js';
import { STATUS_FILTER } from '../support/contrary/catalogue.js';
import { RetainedHistory } from '../support/contrary/retained-late.js';
import { IngesterApp } from '../support/ingester-app.js';
import { quiet } from '../support/servers.js';
import { Devices } from './contrary-devices.js';
import { differences } from './retained-store.js';

const LANES = 2;
/** Shorter than the time between the two reads that prove an absence. */
const LAG_MS = 300;
/** How soon a silent lane is connected again. */
const LANE_TIMING = { everyMs: 100, returnMs: 1000, quietMs: 60_000, longestQuietMs: 300_000 };
const WAIT_MS = 30_000;

/** Other connections of the apps, such as those that check the broker, do not meet this behaviour. */
export function onLanes(behaviour: Behaviour): Behaviour {
  return (link) => (link.clientId.includes('-lane-') ? behaviour(link) : {});
}

export class ContraryStack {
  private present: Devices | undefined;

  private constructor(
    private readonly dir: string,
    private mosquitto: Awaited<ReturnType<typeof startMosquitto>>,
    private readonly beforeApps: ContraryBroker,
    private readonly beforeDevices: ContraryBroker,
    /** Of the status topics. */
    readonly history: RetainedHistory,
    readonly redis: Redis,
    readonly ingester: IngesterApp,
    readonly api: Api,
  ) {}

  static async start(): Promise<ContraryStack> {
    const dir = mkdtempSync(join(tmpdir(), 'cloud-connector-contrary-'));
    const [store, mosquitto] = await Promise.all([startRedis({ dir }), startMosquitto({ dir, persist: true })]);
    const [beforeApps, beforeDevices, history] = await Promise.all([
      ContraryBroker.before(mosquitto.port),
      ContraryBroker.before(mosquitto.port),
      RetainedHistory.of(mosquitto.url, STATUS_FILTER, LAG_MS),
    ]);
    const env = { REDIS_URL: store.url, MQTT_URL: beforeApps.url, INTAKE_LANES: `${LANES}`, EVENT_SETTLE: '0s' };
    const [gateway, ingester] = await Promise.all([
      startApp('api-gateway', { dir, env }),
      IngesterApp.start(env, quiet, { laneWatch: LANE_TIMING }),
      startApp('dispatcher', { dir, env }),
    ]);
    const [redis, api] = [new Redis(store.url), new Api(gateway.url)];
    return new ContraryStack(dir, mosquitto, beforeApps, beforeDevices, history, redis, ingester, api);
  }

  async stop(): Promise<void> {
    await this.ingester.stop();
    this.redis.disconnect();
    await this.history.stop();
    await stopAll();
    await Promise.all([this.beforeApps.stop(), this.beforeDevices.stop()]);
    rmSync(this.dir, { recursive: true });
  }

  /** All connections of the apps begin again, with these behaviours. */
  behave(...behaviours: readonly Behaviour[]): void {
    this.beforeApps.behave(...behaviours);
    this.beforeApps.cut();
  }

  /** Connections of devices that are opened from now on have these behaviours. */
  behaveToDevices(...behaviours: readonly Behaviour[]): void {
    this.beforeDevices.behave(...behaviours);
  }

  async restartBroker(): Promise<void> {
    const { dir, mosquitto } = this;
    await mosquitto.stop();
    this.mosquitto = await startMosquitto({ dir, persist: true, port: mosquitto.port });
  }

  /** Devices that have not connected. */
  devices(name: string): Devices {
    return (this.present = new Devices(this.beforeDevices.url, this.api, name));
  }

  /** Devices that have connected and are online. */
  async devicesOnline(name: string): Promise<Devices> {
    const all = this.devices(name);
    await all.connect();
    await all.untilOnline();
    return all;
  }

  /** The devices of the last scenario leave. */
  async endDevices(): Promise<void> {
    await this.present?.end();
    this.beforeDevices.behave();
  }

  /** Some devices stay, are verified and get messages; others leave; a sweep runs: all at the same time. */
  async play(all: Devices): Promise<SweepBody> {
    const [verified, updated] = [all.staying.slice(0, 4), all.staying.slice(4, 7)];
    const [swept] = await Promise.all([
      this.sweep(),
      all.leave(),
      all.receive(),
      ...verified.map((id) => this.verify(id)),
      ...updated.map((id) => all.shakeHands(id)),
    ]);
    return swept;
  }

  /** Waits until registry and broker are equal, and requires that nobody was offline wrongly. */
  async untilRight(all: Devices): Promise<void> {
    // No sweep brings these: the lanes do.
    await Promise.all(all.staying.map((id) => all.shakeHands(id)));
    await all.untilOnline([...all.staying, all.returning]);
    await waitUntil(
      async () => expect(await differences(this.mosquitto.url, this.api.url, all.ids, LANES)).toEqual([]),
      { what: 'registry and broker to be equal', timeoutMs: WAIT_MS },
    );
    expect(await all.wronglyOffline(this.redis)).toEqual([]);
  }

  async verify(id: string): Promise<void> {
    await waitUntil(
      async () =>
        expect(await this.api.verify(id)).toMatchObject({ status: 200, body: { state: 'online', changed: false } }),
      { what: `the verification of ${id}`, timeoutMs: WAIT_MS },
    );
  }

  sweep(): Promise<SweepBody> {
    return this.api.sweep(WAIT_MS);
  }
}
