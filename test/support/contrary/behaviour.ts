/** What a behaviour of the contrary broker can do to the packets of a connection. */
import type { IPublishPacket, Packet } from 'mqtt-packet';

export type PacketOf<Command extends Packet['cmd']> = Extract<Packet, { cmd: Command }>;
export type Pass = (packet: Packet) => void;

/**
 * One handler for each kind of packet that the behaviour looks at. It passes the packet on, another one, later, or not at all.
 * Packets without a handler are passed on unparsed.
 */
export type Handlers = {
  readonly [Command in Packet['cmd']]?: (packet: PacketOf<Command>, pass: Pass) => void;
};

/** A retained message, or a pause in milliseconds. */
export type Step = IPublishPacket | number;

/** The retained messages that one SUBSCRIBE brings, in the order of their delivery. */
export interface Delivery {
  readonly filters: readonly string[];
  readonly steps: readonly Step[];
  /** Delivered after the retained messages of the next SUBSCRIBE. */
  readonly afterNext: readonly Step[];
  /** Whether messages of the SUBSCRIBE before this one are to be delivered after this one. */
  readonly isAwaited: boolean;
}

export interface Stage {
  readonly fromClient?: Handlers;
  readonly fromBroker?: Handlers;
  /** Changes what a SUBSCRIBE brings. Applies to connections that have the behaviour from their beginning. */
  readonly onRead?: (delivery: Delivery) => Delivery;
}

/** The connection of one client, as behaviours see it. */
export interface ClientLink {
  readonly clientId: string;
  readonly protocolVersion: 3 | 4 | 5;
  /** Replies to the CONNECT with a refusal. */
  refuse(): void;
  toClient(packet: Packet): void;
  toBroker(packet: Packet): void;
  end(): void;
}

/** Is called once for each connection, when its CONNECT has arrived. */
export type Behaviour = (link: ClientLink) => Stage;
