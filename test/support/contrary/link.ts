/** The connection of one client, and the one to the broker behind it. It parses only packets that a behaviour looks at. */
import { connect, type Socket } from 'node:net';
import { generate, parser, type Packet, type Parser } from 'mqtt-packet';
import type { Behaviour, ClientLink, Stage } from './behaviour.js';
import { Frames } from './frames.js';
import { RetainedReads } from './retained-reads.js';

/** Reason code of a CONNACK in MQTT 5. */
const SERVER_UNAVAILABLE = 0x88;
/** By the number in the first four bits of a packet. */
const COMMANDS: readonly (Packet['cmd'] | undefined)[] = [
  undefined,
  ...(['connect', 'connack', 'publish', 'puback', 'pubrec', 'pubrel', 'pubcomp', 'subscribe', 'suback'] as const),
  ...(['unsubscribe', 'unsuback', 'pingreq', 'pingresp', 'disconnect', 'auth'] as const),
];

type Direction = 'fromClient' | 'fromBroker';

export class Link implements ClientLink {
  clientId = '';
  protocolVersion: 3 | 4 | 5 = 4;
  private stages: Stage[] = [];
  private readonly far: Socket;
  /** The bytes of parsed packets, which are passed on if no behaviour changes the packet. */
  private readonly unchanged = new WeakMap<Packet, Buffer>();

  /** `begin`: the behaviours of this connection, asked for when its CONNECT has arrived. */
  constructor(
    private readonly near: Socket,
    target: number,
    private readonly begin: () => readonly Behaviour[],
  ) {
    const far = (this.far = connect(target, '127.0.0.1'));
    this.forward(near, 'fromClient');
    this.forward(far, 'fromBroker');
    near.on('drain', () => far.resume());
    far.on('drain', () => near.resume());
  }

  add(behaviour: Behaviour): void {
    this.stages = [...this.stages, behaviour(this)];
  }

  refuse(): void {
    const reason = this.protocolVersion === 5 ? { reasonCode: SERVER_UNAVAILABLE } : { returnCode: 3 };
    this.near.end(this.bytesOf({ cmd: 'connack', sessionPresent: false, ...reason }));
  }

  toClient(packet: Packet): void {
    this.write('fromBroker', this.bytesOf(packet));
  }

  toBroker(packet: Packet): void {
    this.write('fromClient', this.bytesOf(packet));
  }

  end(): void {
    this.near.destroySoon();
    this.far.destroy();
  }

  cut(): void {
    this.near.destroy();
    this.far.destroy();
  }

  private forward(from: Socket, direction: Direction): void {
    const frames = new Frames();
    let packets: Parser | undefined;
    from.setNoDelay(true);
    from.on('error', () => this.end());
    from.on('close', () => (from === this.near ? this.far : this.near).destroySoon());
    from.on('data', (data: Buffer) => {
      for (const frame of frames.add(data)) {
        const command = COMMANDS[(frame[0] ?? 0) >> 4];
        if (
          command !== 'connect' &&
          !this.stages.some((stage) => command !== undefined && stage[direction]?.[command])
        ) {
          this.write(direction, frame);
          continue;
        }
        packets ??= this.parserOf(direction);
        this.frame = frame;
        packets.parse(frame);
      }
    });
  }

  /** The bytes of the packet that is being parsed. */
  private frame: Buffer = Buffer.alloc(0);

  private parserOf(direction: Direction): Parser {
    const packets = parser({ protocolVersion: this.protocolVersion });
    packets.on('error', () => this.end());
    packets.on('packet', (packet) => {
      this.unchanged.set(packet, this.frame);
      if (packet.cmd === 'connect') {
        this.clientId = packet.clientId;
        this.protocolVersion = packet.protocolVersion ?? 4;
        this.stages = this.begin().map((behaviour) => behaviour(this));
        const rules = this.stages.flatMap(({ onRead }) => (onRead === undefined ? [] : [onRead]));
        if (rules.length > 0) this.stages.push(new RetainedReads(this, rules));
      }
      this.run(direction, packet, 0);
    });
    return packets;
  }

  /** Gives a packet to the stages from `first` on, one after the other. */
  private run(direction: Direction, packet: Packet, first: number): void {
    for (let i = first; i < this.stages.length; i++) {
      const handler = this.stages[i]?.[direction]?.[packet.cmd] as
        ((packet: Packet, pass: unknown) => void) | undefined;
      if (handler === undefined) continue;
      handler(packet, (passed: Packet) => this.run(direction, passed, i + 1));
      return;
    }
    this.write(direction, this.bytesOf(packet));
  }

  private bytesOf(packet: Packet): Buffer {
    return this.unchanged.get(packet) ?? generate(packet, { protocolVersion: this.protocolVersion });
  }

  private write(direction: Direction, bytes: Buffer): void {
    const [from, to] = direction === 'fromClient' ? [this.near, this.far] : [this.far, this.near];
    if (to.writable && !to.write(bytes)) from.pause();
  }
}
