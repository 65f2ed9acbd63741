/**
 * A proxy in front of a real broker that passes MQTT packets on in both directions and injects faults: it refuses CONNECTs,
 * delivers nothing on some topics, withholds PUBACKs or SUBACKs, or sends the retained messages of the last filter first.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { generate, parser, type IConnectPacket, type Packet, type Parser } from 'mqtt-packet';
import { freePort } from '../../scripts/stack.mjs';

/** Reason code of a CONNACK in MQTT 5. */
const SERVER_UNAVAILABLE = 0x88;

type Stalled = (topic: string, clientId: string) => boolean;

export class ContraryBroker {
  /** How many CONNECTs were refused. */
  refused = 0;
  /** How many PUBACKs were withheld. */
  withheld = 0;
  private subacksToWithhold = 0;
  private isWithholdingPubacks = false;
  private isRefusing = false;
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

  /** Refuses each CONNECT from now on, like a broker that is busy or reloads its users. */
  refuse(): void {
    this.isRefusing = true;
  }

  /** Passes CONNECTs on from now on. */
  accept(): void {
    this.isRefusing = false;
  }

  /** Drops each PUBLISH on such a topic to such a client from now on. The broker keeps the messages, because it gets no PUBACK. */
  stall(isStalled: Stalled): void {
    this.isStalled = isStalled;
    for (const link of this.links) link.isStalled = isStalled;
  }

  /** Drops the next `count` SUBACKs. */
  withholdSubacks(count: number): void {
    this.subacksToWithhold = count;
  }

  /** Drops PUBACKs until `release`, and passes the replies to pings on. */
  withholdPubacks(): void {
    this.isWithholdingPubacks = true;
  }

  /**
   * For connections that are opened from now on: passes retained messages on the last topic of a SUBSCRIBE on at once, and
   * those on its other topics when the client sends its next packet.
   */
  reverseRetained(): void {
    this.isReversing = true;
  }

  /** Passes PUBACKs on from now on, and all PUBLISH packets to connections that are opened from now on. */
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
      (packet) => {
        if (!this.isRefusing) return true;
        this.refused++;
        link.refuse(packet);
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

/** The connection of one client, and the one to the broker behind it. */
class Link {
  clientId = '';
  isStalled: Stalled | undefined;
  isReversing = false;
  /** The last topic of the last SUBSCRIBE, and the retained messages on its other topics. */
  private lastTopic = '';
  private delayed: Packet[] = [];
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
        fromBroker.on('packet', (received: Packet) => {
          if (!this.passes(received)) return;
          if (this.isReversing && received.cmd === 'publish' && received.retain && received.topic !== this.lastTopic)
            this.delayed.push(received);
          else near.write(generate(received, { protocolVersion }));
        });
        if (!mayConnect(packet)) return;
      }
      for (const late of this.delayed.splice(0)) near.write(generate(late, { protocolVersion }));
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
