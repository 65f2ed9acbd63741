/**
 * A broker that accepts every PUBLISH, and sends its PUBACK when the spec lets it: after a latency, or when the gate of its topic
 * is opened. It records what it receives.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, parser, type IPublishPacket, type Packet } from 'mqtt-packet';
import { freePort } from '../../scripts/stack.mjs';
import { gate, type Gate } from './servers.js';

export class PubackBroker {
  /** Time from a PUBLISH to its PUBACK. */
  latencyMs = 0;
  /** All PUBLISH packets, in the order of their arrival. */
  readonly published: { topic: string; payload: string; properties: IPublishPacket['properties'] }[] = [];
  /** Most PUBLISH packets that waited for their PUBACK at the same time. */
  maxInFlight = 0;
  private inFlight = 0;
  private readonly gates = new Map<string, Gate>();
  private readonly sockets = new Set<Socket>();

  private constructor(
    readonly url: string,
    private readonly server: Server,
  ) {}

  static async start(): Promise<PubackBroker> {
    const port = await freePort();
    const server = createServer();
    const broker = new PubackBroker(`mqtt://127.0.0.1:${port}`, server);
    server.on('connection', (socket) => broker.serve(socket));
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return broker;
  }

  /** Withholds the PUBACKs of a topic until the gate is opened. */
  withhold(topic: string): Gate {
    const held = gate();
    this.gates.set(topic, held);
    return held;
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  private serve(socket: Socket): void {
    const send = (packet: Packet): void => {
      if (socket.writable) socket.write(generate(packet, { protocolVersion: 5 }));
    };
    const fromClient = parser({ protocolVersion: 5 });
    fromClient.on('packet', (packet: Packet) => {
      if (packet.cmd === 'connect') send({ cmd: 'connack', sessionPresent: false, reasonCode: 0 });
      else if (packet.cmd === 'pingreq') send({ cmd: 'pingresp' });
      else if (packet.cmd === 'publish') {
        const { topic, messageId, payload, properties } = packet;
        this.published.push({ topic, payload: payload.toString(), properties });
        void this.untilAcknowledged(topic).then(() => {
          if (messageId !== undefined) send({ cmd: 'puback', messageId, reasonCode: 0 });
        });
      }
    });
    this.sockets.add(socket);
    socket.on('data', (data: Buffer) => fromClient.parse(data));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.sockets.delete(socket));
  }

  private async untilAcknowledged(topic: string): Promise<void> {
    this.maxInFlight = Math.max(this.maxInFlight, ++this.inFlight);
    await this.gates.get(topic)?.passed;
    await sleep(this.latencyMs);
    this.inFlight--;
  }
}
