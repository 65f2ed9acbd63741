/** What the specs of `IntakeConnection` share: a Mosquitto, a publisher, and connections that are closed after each test. */
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { connectAsync, type MqttClient } from 'mqtt';
import { IntakeConnection, type IntakeHandler, type IntakeOptions, type IntakePacket } from '@app/broker';
import { eventually, quiet, startMosquitto, type Server } from './servers.js';

/** Collects the packets that its handler receives, and then calls `then` with them. */
export class PacketCollector {
  readonly packets: IntakePacket[] = [];
  readonly batches: IntakePacket[][] = [];

  constructor(private readonly then: IntakeHandler = () => Promise.resolve()) {}

  readonly handler: IntakeHandler = async (batch) => {
    this.packets.push(...batch);
    this.batches.push([...batch]);
    await this.then(batch);
  };

  get texts(): string[] {
    return this.packets.map(({ payload }) => payload.toString());
  }
}

/** `count` texts: `from`, `from + 1`, and so on. */
export function numbers(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `${from + i}`);
}

/** Starts what the specs share, and gives each test its own part of it. `begin` is called before the first test. */
export function withIntake(begin: (intake: Intake) => void): void {
  let intake: Intake;

  beforeAll(async () => {
    intake = await Intake.start();
    begin(intake);
  });
  afterAll(() => intake.stop());
  beforeEach(() => intake.beginTest());
  afterEach(() => intake.endTest());
}

export class Intake {
  clientId = '';
  topic = '';
  private cases = 0;
  private opened: IntakeConnection[] = [];

  private constructor(
    readonly broker: Server,
    readonly publisher: MqttClient,
  ) {}

  static async start(): Promise<Intake> {
    const broker = await startMosquitto();
    return new Intake(broker, await connectAsync(broker.url, { protocolVersion: 5 }));
  }

  async stop(): Promise<void> {
    await this.publisher.endAsync();
    await this.broker.stop();
  }

  /** Each test has a session and a topic of its own. */
  beginTest(): void {
    this.opened = [];
    this.clientId = `lane-${this.cases++}`;
    this.topic = `in/${this.clientId}`;
  }

  async endTest(): Promise<void> {
    await Promise.all(this.opened.map((connection) => connection.close()));
  }

  open(handler: IntakeHandler, options: Partial<IntakeOptions> = {}): IntakeConnection {
    const connection = this.openStuck(handler, options);
    this.opened.push(connection);
    return connection;
  }

  /** Opens a connection whose handler never resolves, so that it cannot be closed after the test. */
  openStuck(handler: IntakeHandler, options: Partial<IntakeOptions> = {}): IntakeConnection {
    const { broker, clientId, topic } = this;
    return new IntakeConnection(
      { url: broker.url, clientId, filters: [`$share/group/${topic}`], window: 1000, ...options },
      handler,
      quiet,
    );
  }

  async publish(...texts: string[]): Promise<void> {
    await Promise.all(texts.map((text) => this.publisher.publishAsync(this.topic, text, { qos: 1 })));
  }

  /** The messages that the broker still keeps for the session, because they were not acknowledged. */
  async leftInSession(): Promise<string[]> {
    const rest = new PacketCollector();
    const next = this.open(rest.handler);
    await next.ready();
    await this.publish('marker');
    await eventually('the marker is received after all older messages', () => expect(rest.texts).toContain('marker'));
    await next.close();
    return rest.texts.filter((text) => text !== 'marker');
  }
}

/** First bytes of packets. */
export const CONNECT = 0x10;
export const SUBSCRIBE = 0x82;
export const CONNACK = [0x20, 3, 0, 0, 0];
export const SESSION_TAKEN_OVER = [0xe0, 2, 0x8e, 0];

/** The SUBACK to a SUBSCRIBE, with no properties and one reason code. */
export function suback(subscribe: Buffer, reasonCode: number): Buffer {
  return Buffer.from([0x90, 4, subscribe[2] ?? 0, subscribe[3] ?? 0, 0, reasonCode]);
}

/** Plays a broker with a few bytes, for moments that a real one cannot be made to have. */
export class FakeBroker implements Server {
  readonly sockets: Socket[] = [];

  private constructor(
    readonly port: number,
    private readonly server: NetServer,
  ) {}

  /** `onData` receives each chunk and its first byte; packets are small enough to arrive in one chunk. */
  static async start(
    onData: (socket: Socket, firstByte: number, bytes: Buffer) => void,
    options: { allowHalfOpen?: boolean } = {},
  ): Promise<FakeBroker> {
    const server = createServer(options);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('the fake broker has no port');
    const broker = new FakeBroker(address.port, server);
    server.on('connection', (socket) => {
      broker.sockets.push(socket);
      socket.on('data', (bytes) => onData(socket, bytes[0] ?? 0, bytes));
      socket.on('error', () => socket.destroy());
    });
    return broker;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  readonly stop = async (): Promise<void> => {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  };
}
