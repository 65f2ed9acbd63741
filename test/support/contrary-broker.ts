/**
 * In front of a real broker: passes MQTT packets on in both directions, and does what other brokers do at bad moments. It
 * refuses CONNECTs for a while, stops delivering what comes by some topics, withholds PUBACKs, or sends what is retained for the last filter first.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { generate, parser, type IConnectPacket, type Packet, type Parser } from 'mqtt-packet';
import { freePort } from '../../scripts/stack.mjs';

/** Reason code of a CONNACK in MQTT 5. */
const SERVER_UNAVAILABLE = 0x88;

type Stalled = (topic: string, clientId: string) => boolean;

export class ContraryBroker {
  /** CONNECT packets that were refused. */
  refused = 0;
  private subacksToWithhold = 0;
  private isWithholdingPubacks = false;
  /** PUBACK packets that were withheld. */
  withheld = 0;
  private refusing = false;
  private isReversing = false;
  private isStalled: Stalled | undefined;
  private readonly links = new Set<Link>();

  private constructor(
    readonly port: number,
    private readonly server: Server,
  ) {}

  static async before(target: number): Promise<ContraryBroker> {
    const port = await freePort();
    const server = createServer();
    const broker = new ContraryBroker(port, server);
    server.on('connection', (near) => broker.join(near, target));
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return broker;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** From now on each CONNECT is refused, as by a broker that is busy or whose credentials change. */
  refuse(): void {
    this.refusing = true;
  }

  /** From now on CONNECTs are passed on. */
  accept(): void {
    this.refusing = false;
  }

  /** From now on no connection of such a client gets a PUBLISH on such a topic. The broker behind has no PUBACK for them, and keeps them. */
  stall(isStalled: Stalled): void {
    this.isStalled = isStalled;
    for (const link of this.links) link.isStalled = isStalled;
  }

  /** Swallows this many answers to subscriptions, from now on. */
  withholdSubacks(count: number): void {
    this.subacksToWithhold = count;
  }

  /** Until `release` no PUBLISH is acknowledged; pings are answered. */
  withholdPubacks(): void {
    this.isWithholdingPubacks = true;
  }

  /**
   * Connections that are opened from now on get what is retained for the last topic of a SUBSCRIBE at once, and for the others
   * when the client sends its next packet.
   */
  reverseRetained(): void {
    this.isReversing = true;
  }

  /** Connections that are opened from now on get everything. Those that are open get as little as before. */
  release(): void {
    this.isStalled = undefined;
    this.isWithholdingPubacks = false;
  }

  async stop(): Promise<void> {
    for (const link of this.links) link.end();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private join(near: Socket, target: number): void {
    const link = new Link(
      near,
      target,
      (connecting) => {
        if (!this.refusing) return true;
        this.refused++;
        link.refuse(connecting);
        return false;
      },
      (packet) => this.withholds(packet),
    );
    link.isStalled = this.isStalled;
    link.isReversing = this.isReversing;
    this.links.add(link);
    near.on('close', () => this.links.delete(link));
  }

  private withholds({ cmd }: Packet): boolean {
    if (cmd === 'puback' && this.isWithholdingPubacks) return ++this.withheld > 0;
    return cmd === 'suback' && this.subacksToWithhold-- > 0;
  }
}

/** One client's connection, and the one to the broker behind it. */
class Link {
  clientId = '';
  isStalled: Stalled | undefined;
  isReversing = false;
  /** The last topic of the last SUBSCRIBE, and what is retained for the others. */
  private lastTopic = '';
  private held: Packet[] = [];
  private readonly far: Socket;

  constructor(
    private readonly near: Socket,
    target: number,
    mayConnect: (packet: IConnectPacket) => boolean,
    private readonly withholds: (packet: Packet) => boolean,
  ) {
    const far = (this.far = connect(target, '127.0.0.1'));
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on('error', () => this.end());
      socket.on('close', () => this.end());
    }
    const fromClient = parser();
    let fromBroker: Parser | undefined;
    let protocolVersion: 3 | 4 | 5 = 4;
    fromClient.on('error', () => this.end());
    fromClient.on('packet', (packet: Packet) => {
      if (packet.cmd === 'connect') {
        protocolVersion = packet.protocolVersion ?? 4;
        this.clientId = packet.clientId;
        fromBroker = parser({ protocolVersion });
        fromBroker.on('error', () => this.end());
        fromBroker.on('packet', (answer: Packet) => {
          if (!this.passes(answer)) return;
          if (this.isReversing && answer.cmd === 'publish' && answer.retain && answer.topic !== this.lastTopic)
            this.held.push(answer);
          else near.write(generate(answer, { protocolVersion }));
        });
        if (!mayConnect(packet)) return;
      }
      for (const late of this.held.splice(0)) near.write(generate(late, { protocolVersion }));
      if (packet.cmd === 'subscribe') this.lastTopic = packet.subscriptions.at(-1)?.topic ?? '';
      far.write(generate(packet, { protocolVersion }));
    });
    near.on('data', (data: Buffer) => fromClient.parse(data));
    far.on('data', (data: Buffer) => fromBroker?.parse(data));
  }

  refuse({ protocolVersion }: IConnectPacket): void {
    const reason = protocolVersion === 5 ? { reasonCode: SERVER_UNAVAILABLE } : { returnCode: 3 };
    this.near.end(
      generate({ cmd: 'connack', sessionPresent: false, ...reason }, { protocolVersion: protocolVersion ?? 4 }),
    );
  }

  end(): void {
    this.near.destroy();
    this.far.destroy();
  }

  private passes(packet: Packet): boolean {
    if (this.withholds(packet)) return false;
    return packet.cmd !== 'publish' || this.isStalled?.(packet.topic, this.clientId) !== true;
  }
}
