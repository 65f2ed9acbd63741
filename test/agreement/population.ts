/** Clients that live as they like until they are told to stop: they come, go, take each other over, err and die. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { sharedAbort } from '@app/platform';
import { envelope } from '../support/mqtt-client.js';
import { Random } from '../support/random.js';

/** Longest pause between two acts. */
const REST_MS = 1500;
/** An act that the broker does not answer is over. */
const PATIENCE_MS = 2000;

type Act = (life: Life, mqtt: MqttClient) => Promise<unknown>;

/** What a client does, and how often. What ends its connection leaves it alone afterwards. */
const ACTS: readonly (readonly [weight: number, act: Act])[] = [
  [20, (life, mqtt) => life.shakeHands(mqtt)],
  // A take-over: the broker ends the old connection, and publishes its will in between.
  [15, (life) => life.connect()],
  [15, (life, mqtt) => life.vanish(mqtt)],
  [
    6,
    (life, mqtt) =>
      life
        .say(mqtt, envelope('offline'), false)
        .then(() => life.say(mqtt, '', true))
        .then(() => life.leave(mqtt)),
  ],
  [4, (life, mqtt) => life.say(mqtt, envelope('offline'), true).then(() => life.leave(mqtt))],
  [4, (life, mqtt) => life.say(mqtt, '', true).then(() => life.leave(mqtt))],
  // Goodbye, and the handshake left behind: the broker says that it is online.
  [2, (life, mqtt) => life.say(mqtt, envelope('offline'), false)],
  [
    2,
    (life, mqtt) => life.say(mqtt, envelope('message-error', { in_response_to: 'x', payload: { details: '' } }), true),
  ],
  [2, (life, mqtt) => life.say(mqtt, envelope('host-handshake', { payload: {} }), true)],
  [2, (life, mqtt) => life.say(mqtt, '{"foreign":true}', true)],
];
const WEIGHTS = ACTS.reduce((sum, [weight]) => sum + weight, 0);

class Life {
  readonly topic: string;
  private mqtt: MqttClient | undefined;
  private readonly all = new Set<MqttClient>();

  constructor(
    readonly id: string,
    private readonly url: string,
    private readonly version: 4 | 5,
    private readonly random: Random,
  ) {
    this.topic = `redhat/insights/in/${id}`;
  }

  async live(stopping: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.random.below(REST_MS));
      if (stopping.aborted) return;
      // Where the broker is away, or ends the connection, the act has failed: that is part of life.
      // Some promises of MQTT.js stay open then.
      const over = new AbortController();
      const patience = sleep(PATIENCE_MS, undefined, { signal: over.signal }).catch(() => undefined);
      await Promise.race([this.act().catch(() => undefined), patience]);
      over.abort();
    }
  }

  end(): void {
    for (const mqtt of this.all) mqtt.end(true);
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
      connectTimeout: PATIENCE_MS,
      will: {
        ...{ topic: this.topic, payload: Buffer.from(envelope('offline')), qos: 1, retain: true },
        // The broker waits with some wills for the client to come back.
        ...(this.version === 5 && this.random.below(4) === 0 && { properties: { willDelayInterval: 1 } }),
      },
      ...(this.version === 5 && { properties: { sessionExpiryInterval: this.random.below(4) === 0 ? 30 : 0 } }),
    };
    const mqtt = await connectAsync(this.url, options);
    mqtt.on('error', () => undefined);
    this.all.add(mqtt);
    mqtt.on('close', () => this.all.delete(mqtt));
    this.mqtt = mqtt;
    await this.shakeHands(mqtt);
  }

  async shakeHands(mqtt: MqttClient): Promise<void> {
    const facts = { canonical_facts: { fqdn: `${this.id}.${this.random.below(1000)}.example.com` } };
    await this.say(mqtt, envelope('host-handshake', { payload: facts }), true);
  }

  async say(mqtt: MqttClient, text: string, retain: boolean): Promise<void> {
    const over = new AbortController();
    const timer = setTimeout(() => over.abort(), PATIENCE_MS);
    const closed = (): void => over.abort();
    mqtt.once('close', closed);
    try {
      await new Promise<void>((resolve, reject) => {
        over.signal.addEventListener('abort', () => reject(new Error('not acknowledged')), { once: true });
        mqtt.publish(this.topic, text, { qos: 1, retain }, (error) => {
          if (error == null) resolve();
          else reject(error);
        });
      });
    } finally {
      clearTimeout(timer);
      mqtt.off('close', closed);
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

  leave(mqtt: MqttClient): Promise<void> {
    return mqtt.endAsync();
  }
}

export class Population {
  readonly ids: readonly string[];
  private readonly lives: readonly Life[];
  private readonly stopping = sharedAbort();
  private living: Promise<unknown> = Promise.resolve();

  constructor(url: string, count: number, seed: number) {
    this.lives = Array.from(
      { length: count },
      (_, i) => new Life(`chaos-${i}`, url, i % 2 === 0 ? 4 : 5, new Random(seed + i)),
    );
    this.ids = this.lives.map(({ id }) => id);
  }

  start(): void {
    this.living = Promise.all(this.lives.map((life) => life.live(this.stopping.signal)));
  }

  /** Nobody does anything any more; who is connected stays so. */
  async pause(): Promise<void> {
    this.stopping.abort();
    await this.living;
  }

  /** Everybody is there and shakes hands. */
  async confirm(): Promise<void> {
    await Promise.all(this.lives.map((life) => life.confirm()));
  }

  end(): void {
    for (const life of this.lives) life.end();
  }
}
