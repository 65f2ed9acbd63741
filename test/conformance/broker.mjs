/**
 * A broker for one device, on loopback if no other address is named: MQTT 3.1.1 and 5. It shows each packet in the order of arrival, and lets the harness hold
 * acknowledgements back, refuse connections and break them, which a real broker does not do at a given packet.
 */
import { EventEmitter, once } from 'node:events';
import { createServer, isIPv6 } from 'node:net';
import { generate, parser } from 'mqtt-packet';
import { HOST, freePort } from '../../scripts/stack.mjs';

/** CONNACK: the server is unavailable, in MQTT 3.1.1 and 5. */
const UNAVAILABLE = 3;
const UNAVAILABLE_5 = 0x88;
/** SUBACK: failure. */
const REFUSED = 0x80;
/** PUBACK of MQTT 5. */
export const NO_SUBSCRIBERS = 0x10;
export const QUOTA_EXCEEDED = 0x97;
/** A PUBACK with this or more is an error. */
const FIRST_ERROR = 0x80;

/** @typedef {import('mqtt-packet').Packet} Packet */

/** One connection that the broker has accepted. */
export class Session {
  /** All packets but pings, in their order. @type {Packet[]} */
  packets = [];
  /** Acknowledgements that are held back. @type {Packet[]} */
  #held = [];
  /** So many packets `next` has passed. */
  read = 0;
  #packetId = 0;
  #events = new EventEmitter();
  holding = false;
  refusesSubscriptions = false;
  /**
   * The reason of the PUBACK of a message. MQTT 3.1.1 has none: there the connection ends in place of an error.
   * @type {(packet: Packet) => number}
   */
  reasonOf = () => 0;
  ended = false;

  /**
   * @param {import('node:net').Socket} socket
   * @param {import('mqtt-packet').IConnectPacket} connect
   * @param {(packet: Packet) => void} send
   */
  constructor(socket, connect, send) {
    this.socket = socket;
    this.connect = connect;
    this.send = send;
    socket.once('close', () => {
      this.ended = true;
      this.#events.emit('change');
    });
  }

  get isVersion5() {
    return this.connect.protocolVersion === 5;
  }

  /** @param {Packet} packet */
  take(packet) {
    if (packet.cmd === 'pingreq') return this.send({ cmd: 'pingresp' });
    this.packets.push(packet);
    const { messageId = 0 } = packet;
    if (packet.cmd === 'publish' && packet.qos === 1) {
      const reasonCode = this.reasonOf(packet);
      if (this.isVersion5 && reasonCode > 0) this.send({ cmd: 'puback', messageId, reasonCode });
      else if (reasonCode < FIRST_ERROR) this.#acknowledge({ cmd: 'puback', messageId });
      else this.drop();
    }
    if (packet.cmd === 'subscribe')
      this.#acknowledge({
        cmd: 'suback',
        messageId,
        granted: packet.subscriptions.map(({ qos }) => (this.refusesSubscriptions ? REFUSED : Math.min(qos, 1))),
      });
    if (packet.cmd === 'unsubscribe') this.#acknowledge({ cmd: 'unsuback', messageId, granted: [0] });
    this.#events.emit('change');
  }

  /** @param {Packet} packet */
  #acknowledge(packet) {
    if (this.holding) this.#held.push(packet);
    else this.send(packet);
  }

  /** Sends what was held back. What comes later is held back again if `holding` is true. @returns how many it were */
  release() {
    const held = this.#held.splice(0);
    for (const packet of held) this.send(packet);
    return held.length;
  }

  get heldBack() {
    return this.#held.length;
  }

  /**
   * The next packet that fits; those before it are passed over. Undefined if the connection ends first.
   * @param {(packet: Packet) => boolean} fits @param {AbortSignal} signal
   */
  async next(fits, signal) {
    for (;;) {
      while (this.read < this.packets.length) {
        const packet = this.packets[this.read++];
        if (packet && fits(packet)) return packet;
      }
      if (this.ended) return undefined;
      await once(this.#events, 'change', { signal });
    }
  }

  /** Resolves when the connection has ended. @param {AbortSignal} signal */
  end(signal) {
    return this.until(() => false, signal);
  }

  /** Resolves when a packet has come that fits, or the connection has ended. @param {(packet: Packet) => boolean} fits @param {AbortSignal} signal */
  async until(fits, signal) {
    while (!this.ended && !this.packets.some(fits)) await once(this.#events, 'change', { signal });
  }

  /** Publishes to the device. @param {string} topic @param {string} payload @param {object} properties @returns the packet id */
  publish(topic, payload, properties = {}) {
    const messageId = ++this.#packetId;
    this.send({
      ...{ cmd: 'publish', topic, payload, messageId, qos: 1, retain: false, dup: false },
      ...(this.isVersion5 && { properties }),
    });
    return messageId;
  }

  /** Breaks the connection. */
  drop() {
    this.socket.resetAndDestroy();
  }
}

export class Broker {
  /** What happens to connections: `break` ends them before their CONNECT is read. @type {'accept' | 'refuse' | 'break'} */
  policy = 'accept';
  /** The time of each CONNECT, by the clock of `performance`. @type {number[]} */
  attempts = [];
  /** How the next session begins: with its acknowledgements held back or not. */
  holdFromStart = false;
  /** @type {Session[]} */
  #waiting = [];
  #events = new EventEmitter();
  /** @type {Set<import('node:net').Socket>} */
  #sockets = new Set();
  /** @type {import('node:net').Server | undefined} */
  #server;

  /** @param {number} port @param {string} host */
  constructor(port, host) {
    this.port = port;
    this.host = host;
    this.url = `mqtt://${isIPv6(host) ? `[${host}]` : host}:${port}`;
  }

  /** @param {string} [host] the address to listen on */
  static async create(host = HOST) {
    return new Broker(await freePort(), host);
  }

  async listen() {
    this.#server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
    this.#server.listen(this.port, this.host);
    await once(this.#server, 'listening');
  }

  close() {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  /** The next session that the harness has not used. @param {AbortSignal} signal @returns {Promise<Session>} */
  async nextSession(signal) {
    for (;;) {
      const session = this.#waiting.shift();
      if (session !== undefined) return session;
      await once(this.#events, 'session', { signal });
    }
  }

  /** Resolves when the policy `break` has ended a connection. @param {AbortSignal} signal */
  async untilBroken(signal) {
    await once(this.#events, 'broken', { signal });
  }

  /** Resolves when there were `count` attempts. @param {number} count @param {AbortSignal} signal */
  async untilAttempts(count, signal) {
    while (this.attempts.length < count) await once(this.#events, 'attempt', { signal });
  }

  /** @param {import('node:net').Socket} socket */
  #serve(socket) {
    if (this.policy === 'break') {
      socket.resetAndDestroy();
      this.#events.emit('broken');
      return;
    }
    this.#sockets.add(socket);
    // The parser reads this object at each packet: it becomes the version of the CONNECT.
    const options = { protocolVersion: 4 };
    const packets = parser(options);
    /** @type {Session | undefined} */
    let session;
    const send = (/** @type {Packet} */ packet) => {
      if (socket.writable) socket.write(generate(packet, options));
    };
    packets.on('packet', (packet) => {
      if (packet.cmd !== 'connect') return session === undefined ? socket.destroy() : session.take(packet);
      options.protocolVersion = packet.protocolVersion ?? 4;
      session = this.#accept(socket, packet, send);
    });
    packets.on('error', () => socket.destroy());
    socket.on('data', (data) => packets.parse(data));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
  }

  /**
   * @param {import('node:net').Socket} socket @param {import('mqtt-packet').IConnectPacket} connect @param {(packet: Packet) => void} send
   */
  #accept(socket, connect, send) {
    this.attempts.push(performance.now());
    this.#events.emit('attempt');
    const version5 = connect.protocolVersion === 5;
    if (this.policy === 'refuse') {
      send({
        cmd: 'connack',
        sessionPresent: false,
        ...(version5 ? { reasonCode: UNAVAILABLE_5 } : { returnCode: UNAVAILABLE }),
      });
      socket.end();
      return undefined;
    }
    const session = new Session(socket, connect, send);
    session.holding = this.holdFromStart;
    send({ cmd: 'connack', sessionPresent: false, ...(version5 ? { reasonCode: 0 } : { returnCode: 0 }) });
    this.#waiting.push(session);
    this.#events.emit('session');
    return session;
  }
}
