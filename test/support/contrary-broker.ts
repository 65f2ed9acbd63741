/**
 * A proxy in front of a real broker that passes MQTT packets on in both directions, and behaves as brokers do that are slower,
 * poorer or less strict than Mosquitto. Behaviours are in `contrary/`; several can be combined.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { freePort } from '../../scripts/stack.mjs';
import { WithheldPubacks, withheldSubacks } from './contrary/acknowledgements.js';
import type { Behaviour } from './contrary/behaviour.js';
import { refusedConnects } from './contrary/connects.js';
import { Link } from './contrary/link.js';
import { reversedOrder } from './contrary/retained-order.js';

type Stalled = (topic: string, clientId: string) => boolean;

export class ContraryBroker {
  /** How many CONNECTs were refused by `refuse`. */
  refused = 0;
  private readonly pubacks = new WithheldPubacks();
  private isRefusing = false;
  private behaviours: readonly Behaviour[] = [];
  /** Those that `release` ends. */
  private faults: readonly Behaviour[] = [];
  private readonly links = new Set<Link>();
  private readonly refusing = refusedConnects(() => {
    if (this.isRefusing) this.refused++;
    return this.isRefusing;
  });

  private constructor(
    readonly port: number,
    private readonly server: Server,
  ) {}

  static async before(target: number, ...behaviours: readonly Behaviour[]): Promise<ContraryBroker> {
    const port = await freePort();
    const server = createServer();
    const broker = new ContraryBroker(port, server);
    broker.behave(...behaviours);
    server.on('connection', (near) => broker.join(near, target));
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    return broker;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** How many PUBACKs were withheld. */
  get withheld(): number {
    return this.pubacks.count;
  }

  /** Connections that are opened from now on get these behaviours, and no others. */
  behave(...behaviours: readonly Behaviour[]): void {
    this.behaviours = behaviours;
  }

  /** Ends all open connections without a word. */
  cut(): void {
    for (const link of this.links) link.cut();
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
    this.add(({ clientId }) => ({
      fromBroker: {
        publish: (packet, pass) => {
          if (!isStalled(packet.topic, clientId)) pass(packet);
        },
      },
    }));
  }

  /** Drops the next `count` SUBACKs. */
  withholdSubacks(count: number): void {
    this.add(withheldSubacks(count));
  }

  /** Drops PUBACKs until `release`, and passes the replies to pings on. */
  withholdPubacks(): void {
    this.pubacks.withhold();
    this.add(this.pubacks.behaviour);
  }

  /** Connections that are opened from now on get retained messages in reverse order. */
  reverseRetained(): void {
    this.behave(...this.behaviours, reversedOrder);
  }

  /** Passes PUBACKs on from now on, and all PUBLISH packets to connections that are opened from now on. */
  release(): void {
    this.faults = [];
    this.pubacks.release();
  }

  async stop(): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  /** Open connections get this behaviour too. */
  private add(behaviour: Behaviour): void {
    this.faults = [...this.faults, behaviour];
    for (const link of this.links) link.add(behaviour);
  }

  private join(near: Socket, target: number): void {
    const link = new Link(near, target, () => [this.refusing, ...this.behaviours, ...this.faults]);
    this.links.add(link);
    near.on('close', () => this.links.delete(link));
  }
}
