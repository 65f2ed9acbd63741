/** The broker that is probed: opens connections, makes topics, and removes at the end what the probes left behind. */
import { randomBytes } from 'node:crypto';
import type { IClientOptions, IConnackPacket } from 'mqtt';
import type { BrokerAccess } from '../broker-access.js';
import { openMqtt } from '../mqtt-connection.js';
import { EXPIRY_SECONDS, ProbeClient } from './probe-client.js';

const CONNECT_MS = 5000;
const NOT_MQTT_5: readonly number[] = [0x01, 0x84];

/** The connection was not accepted. */
export class ConnectError extends Error {
  override readonly name = 'ConnectError';
  constructor(
    message: string,
    /** Of the CONNACK, if there was one. */
    readonly code: number | undefined,
  ) {
    super(message);
  }

  get isUnsupportedVersion(): boolean {
    return this.code !== undefined && NOT_MQTT_5.includes(this.code);
  }
}

export interface OpenOptions {
  /** Resumes the session of this client id, or takes its connection over. */
  clientId?: string;
  /** Whether the session outlives the connection. */
  keepsSession?: boolean;
  clean?: boolean;
  acknowledges?: boolean;
  will?: string;
  sessionExpirySeconds?: number;
  protocolVersion?: 4 | 5;
}

export interface Opened {
  client: ProbeClient;
  connack: IConnackPacket;
}

export class ProbeBroker {
  /** Everything that is published lies below `cloud-connector/check/<id>/`. */
  readonly id = randomBytes(8).toString('hex');
  private readonly clients = new Set<ProbeClient>();
  /** Client ids with a session that outlives its connections. */
  private readonly sessions = new Set<string>();
  private readonly retained = new Set<string>();
  private count = 0;
  private isEnded = false;

  constructor(
    private readonly access: BrokerAccess,
    /** Tells the operator something in the middle of a probe. */
    readonly notify: (text: string) => void = () => undefined,
    /** Resolves when the operator says so. */
    readonly untilOperator: (signal: AbortSignal) => Promise<void> = never,
  ) {}

  topic(name: string): string {
    return `cloud-connector/check/${this.id}/${name}`;
  }

  /** A topic whose retained message is removed at the end. */
  retainedTopic(name: string): string {
    const topic = this.topic(name);
    this.retained.add(topic);
    return topic;
  }

  /** A filter of a share group of this check. */
  shared(group: string, filter: string): string {
    return `$share/check-${this.id}-${group}/${this.topic(filter)}`;
  }

  async client(options: OpenOptions = {}): Promise<ProbeClient> {
    return (await this.open(options)).client;
  }

  /** @throws ConnectError */
  async open({
    clientId = this.newClientId(),
    keepsSession = false,
    clean = !keepsSession,
    acknowledges = true,
    will,
    sessionExpirySeconds = keepsSession ? EXPIRY_SECONDS : 0,
    protocolVersion = 5,
  }: OpenOptions = {}): Promise<Opened> {
    const options: IClientOptions = {
      clientId,
      clean,
      protocolVersion,
      connectTimeout: CONNECT_MS,
      reconnectPeriod: 0,
      reconnectOnConnackError: false,
      resubscribe: false,
      ...(protocolVersion === 5 && { properties: { sessionExpiryInterval: sessionExpirySeconds } }),
      ...(will !== undefined && {
        will: { topic: will, payload: Buffer.from('will'), qos: 1 as const, retain: false },
      }),
    };
    if (keepsSession) this.sessions.add(clientId);
    const mqtt = openMqtt(this.access, options);
    const client = new ProbeClient(mqtt, clientId, acknowledges);
    this.clients.add(client);
    mqtt.on('close', () => this.clients.delete(client));
    const connack = await new Promise<IConnackPacket>((resolve, reject) => {
      mqtt.once('connect', resolve);
      // It stays: errors after the CONNACK close the connection, which the probe notices.
      mqtt.on('error', (error) => reject(new ConnectError(error.message, codeOf(error))));
      mqtt.once('close', () => reject(new ConnectError('the broker closed the connection', undefined)));
    });
    client.connected(connack);
    return { client, connack };
  }

  /** Ends the connections of a probe, whether it has completed or not. */
  async endConnections(): Promise<void> {
    await Promise.all([...this.clients].map((client) => client.end(true)));
  }

  /** @throws Error if the check has ended: a probe that ran out of time stops here */
  stopIfEnded(): void {
    if (this.isEnded) throw new Error('the check has ended');
  }

  /** Removes retained messages and sessions. */
  async cleanUp(): Promise<void> {
    this.isEnded = true;
    await this.endConnections();
    if (this.retained.size > 0) {
      const cleaner = await this.client();
      await cleaner.publishAll([...this.retained].map((topic) => ({ topic, payload: '', retain: true })));
      await cleaner.end();
    }
    for (const clientId of this.sessions) await (await this.client({ clientId })).end(true);
  }

  newClientId(): string {
    return `check-broker-${this.id}-${this.count++}`;
  }
}

function codeOf(error: Error): number | undefined {
  const { code } = error as { code?: unknown };
  return typeof code === 'number' ? code : undefined;
}

function never(): Promise<void> {
  return new Promise(() => undefined);
}
