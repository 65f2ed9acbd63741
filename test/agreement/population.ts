/**
 * Clients that do random acts until they are paused: they connect, disconnect, take over their own session, send errors and
 * vanish.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { sharedAbort } from '@app/platform';
import { envelope } from '../support/mqtt-client.js';
import { Random } from '../support/random.js';

/** The longest pause between two acts of a client. It makes the load; nothing waits for it. */
const PAUSE_MS = 1500;
/** An act fails if the broker has not replied after this time. */
const ACT_TIMEOUT_MS = 2000;

type Act = (client: RandomClient, mqtt: MqttClient) => Promise<unknown>;

/** What a client does, and how often. */
const ACTS: readonly (readonly [weight: number, act: Act])[] = [
  [20, (client, mqtt) => client.shakeHands(mqtt)],
  // A take-over: the broker closes the old connection and publishes its will before it accepts the new one.
  [15, (client) => client.connect()],
  [15, (client, mqtt) => client.vanish(mqtt)],
  [
    6,
    (client, mqtt) =>
      client
        .publish(mqtt, envelope('offline'), false)
        .then(() => client.publish(mqtt, '', true))
        .then(() => client.disconnect(mqtt)),
  ],
  [4, (client, mqtt) => client.publish(mqtt, envelope('offline'), true).then(() => client.disconnect(mqtt))],
  [4, (client, mqtt) => client.publish(mqtt, '', true).then(() => client.disconnect(mqtt))],
  // A goodbye that does not remove the handshake: by what the broker retains, the client is online.
  [2, (client, mqtt) => client.publish(mqtt, envelope('offline'), false)],
  [
    2,
    (client, mqtt) =>
      client.publish(mqtt, envelope('message-error', { in_response_to: 'x', payload: { details: '' } }), true),
  ],
  [2, (client, mqtt) => client.publish(mqtt, envelope('host-handshake', { payload: {} }), true)],
  [2, (client, mqtt) => client.publish(mqtt, '{"foreign":true}', true)],
];
const WEIGHTS = ACTS.reduce((sum, [weight]) => sum + weight, 0);

class RandomClient {
  readonly topic: string;
  private mqtt: MqttClient | undefined;
  private readonly connections = new Set<MqttClient>();

  constructor(
    readonly id: string,
    private readonly url: string,
    private readonly version: 4 | 5,
    private readonly random: Random,
  ) {
    this.topic = `redhat/insights/in/${id}`;
  }

  async run(stopping: AbortSignal, onAct: () => void): Promise<void> {
    for (;;) {
      await sleep(this.random.below(PAUSE_MS));
      if (stopping.aborted) return;
      // If the broker is down or closes the connection, the act fails, as it may. Some promises of MQTT.js never settle then.
      const finished = new AbortController();
      const timeout = sleep(ACT_TIMEOUT_MS, undefined, { signal: finished.signal }).catch(() => undefined);
      await Promise.race([this.act().catch(() => undefined), timeout]);
      finished.abort();
      onAct();
    }
  }

  end(): void {
    for (const mqtt of this.connections) mqtt.end(true);
  }

  private act(): Promise<unknown> {
    if (this.mqtt?.connected !== true) return this.connect();
    let choice = this.random.below(WEIGHTS);
    const [, act] = ACTS.find(([weight]) => (choice -= weight) < 0) ?? ACTS[0] ?? [];
    return act?.(this, this.mqtt) ?? Promise.resolve();
  }

  async connect(): Promise<void> {
    const options: IClientOptions = {
      clientId: this.id,
      protocolVersion: this.version,
      clean: true,
      reconnectPeriod: 0,
      connectTimeout: ACT_TIMEOUT_MS,
      will: {
        ...{ topic: this.topic, payload: Buffer.from(envelope('offline')), qos: 1, retain: true },
        // The broker delays some wills, so that the client may return before.
        ...(this.version === 5 && this.random.below(4) === 0 && { properties: { willDelayInterval: 1 } }),
      },
      ...(this.version === 5 && { properties: { sessionExpiryInterval: this.random.below(4) === 0 ? 30 : 0 } }),
    };
    const mqtt = await connectAsync(this.url, options);
    mqtt.on('error', () => undefined);
    this.connections.add(mqtt);
    mqtt.on('close', () => this.connections.delete(mqtt));
    this.mqtt = mqtt;
    await this.shakeHands(mqtt);
  }

  async shakeHands(mqtt: MqttClient): Promise<void> {
    const facts = { canonical_facts: { fqdn: `${this.id}.${this.random.below(1000)}.example.com` } };
    await this.publish(mqtt, envelope('host-handshake', { payload: facts }), true);
  }

  async publish(mqtt: MqttClient, text: string, retain: boolean): Promise<void> {
    const ended = new AbortController();
    const end = (): void => ended.abort();
    const timer = setTimeout(end, ACT_TIMEOUT_MS);
    mqtt.once('close', end);
    try {
      await new Promise<void>((resolve, reject) => {
        ended.signal.addEventListener('abort', () => reject(new Error('not acknowledged')), { once: true });
        mqtt.publish(this.topic, text, { qos: 1, retain }, (error) => {
          if (error == null) resolve();
          else reject(error);
        });
      });
    } finally {
      clearTimeout(timer);
      mqtt.off('close', end);
    }
  }

  /** @throws Error if the broker does not acknowledge it */
  async confirm(): Promise<void> {
    if (this.mqtt?.connected === true) await this.shakeHands(this.mqtt);
    else await this.connect();
  }

  vanish(mqtt: MqttClient): Promise<void> {
    mqtt.stream.destroy();
    return Promise.resolve();
  }

  disconnect(mqtt: MqttClient): Promise<void> {
    return mqtt.endAsync();
  }
}

export class Population {
  readonly ids: readonly string[];
  private readonly clients: readonly RandomClient[];
  private readonly stopping = sharedAbort();
  private running: Promise<unknown> = Promise.resolve();
  private acts = 0;
  private readonly actWaits = new Set<{ until: number; resolve: () => void }>();

  constructor(url: string, count: number, seed: number) {
    this.clients = Array.from(
      { length: count },
      (_, i) => new RandomClient(`chaos-${i}`, url, i % 2 === 0 ? 4 : 5, new Random(seed + i)),
    );
    this.ids = this.clients.map(({ id }) => id);
  }

  start(): void {
    this.running = Promise.all(this.clients.map((client) => client.run(this.stopping.signal, () => this.countAct())));
  }

  /** Resolves when the clients together have done so many more acts, whether they succeeded or not. */
  afterActs(count: number): Promise<void> {
    return new Promise((resolve) => this.actWaits.add({ until: this.acts + count, resolve }));
  }

  /** Ends all acts. Clients that are connected stay connected. */
  async pause(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  /** Makes every client connect and send a handshake. */
  async confirm(): Promise<void> {
    await Promise.all(this.clients.map((client) => client.confirm()));
  }

  end(): void {
    for (const client of this.clients) client.end();
  }

  private countAct(): void {
    this.acts++;
    for (const wait of this.actWaits) {
      if (this.acts < wait.until) continue;
      this.actWaits.delete(wait);
      wait.resolve();
    }
  }
}
