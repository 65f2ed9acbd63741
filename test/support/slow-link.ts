import { connect, createServer, type Server, type Socket } from 'node:net';
import { generate, parser, type Packet } from 'mqtt-packet';
import { freePort } from '../../scripts/stack.mjs';

const MQTT_5 = { protocolVersion: 5 } as const;

/** A link to a broker that withholds its PUBACKs until the test passes them on, and counts. */
export class SlowLink {
  published = 0;
  acknowledged = 0;
  /** The most publishes that were pending at once. */
  mostPending = 0;
  /** The payloads of all PUBLISH packets. */
  readonly texts: string[] = [];
  private isOpen = false;
  private readonly withheldPubacks: (() => void)[] = [];
  private readonly sockets = new Set<Socket>();

  private constructor(
    readonly port: number,
    private readonly server: Server,
  ) {}

  static async before(brokerPort: number): Promise<SlowLink> {
    const port = await freePort();
    const server = createServer();
    const link = new SlowLink(port, server);
    server.on('connection', (near) => link.join(near, brokerPort));
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return link;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** PUBACKs that are withheld now. */
  get withheld(): number {
    return this.withheldPubacks.length;
  }

  get pending(): number {
    return this.published - this.acknowledged;
  }

  passOne(): void {
    this.withheldPubacks.shift()?.();
  }

  /** Passes all PUBACKs on, also the later ones. */
  passAll(): void {
    this.isOpen = true;
    for (const pass of this.withheldPubacks.splice(0)) pass();
  }

  readonly stop = async (): Promise<void> => {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  };

  private join(near: Socket, brokerPort: number): void {
    const far = connect(brokerPort, '127.0.0.1');
    for (const socket of [near, far]) {
      this.sockets.add(socket);
      socket.on('error', () => socket.destroy());
    }
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
    onPackets(near, (packet) => {
      if (packet.cmd === 'publish') {
        this.mostPending = Math.max(this.mostPending, ++this.published - this.acknowledged);
        this.texts.push(packet.payload.toString());
      }
      far.write(generate(packet, MQTT_5));
    });
    onPackets(far, (packet) => {
      const pass = (): void => {
        if (packet.cmd === 'puback') this.acknowledged++;
        near.write(generate(packet, MQTT_5));
      };
      if (packet.cmd === 'puback' && !this.isOpen) this.withheldPubacks.push(pass);
      else pass();
    });
  }
}

function onPackets(socket: Socket, onPacket: (packet: Packet) => void): void {
  const packets = parser(MQTT_5).on('packet', onPacket);
  packets.on('error', () => socket.destroy());
  socket.on('data', (data) => packets.parse(data));
}
