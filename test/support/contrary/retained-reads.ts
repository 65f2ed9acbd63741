/**
 * Collects the retained messages that a SUBSCRIBE brings and delivers them as its rules say. Behind each SUBSCRIBE it sends
 * one of its own, to a topic on which it has just retained a message: when that one arrives, the broker has sent the others.
 * The access control of the broker must allow that topic.
 */
import type { IPublishPacket, ISubscribePacket, Packet } from 'mqtt-packet';
import type { ClientLink, Delivery, Handlers, Pass, Stage, Step } from './behaviour.js';
import { isShared } from './filters.js';

const END_TOPIC = 'contrary-broker/end';
/** If no SUBSCRIBE follows, what was to be delivered after the next one is delivered after this time. */
const LAST_MS = 300;

interface Reading {
  readonly filters: readonly string[];
  readonly messages: IPublishPacket[];
}

export class RetainedReads implements Stage {
  readonly fromClient: Handlers = {
    subscribe: (packet, pass) => {
      pass(packet);
      if (packet.subscriptions.some(({ topic, rh }) => !isShared(topic) && rh !== 2)) this.begin(packet);
    },
  };
  readonly fromBroker: Handlers = {
    publish: (packet, pass) => this.receive(packet, pass),
    suback: (packet, pass) => this.passUnlessOwn(packet, pass),
    unsuback: (packet, pass) => this.passUnlessOwn(packet, pass),
  };
  /** The SUBSCRIBEs whose retained messages the broker has not sent yet. */
  private readonly readings: Reading[] = [];
  /** Packet ids of our own SUBSCRIBE and UNSUBSCRIBE packets. */
  private readonly ownIds = new Set<number>();
  private delivered: Promise<void> = Promise.resolve();
  private afterNext: readonly Step[] = [];
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly link: ClientLink,
    private readonly rules: readonly ((delivery: Delivery) => Delivery)[],
  ) {}

  private begin({ subscriptions, messageId = 0 }: ISubscribePacket): void {
    this.readings.push({ filters: subscriptions.map(({ topic }) => topic), messages: [] });
    // Ids far from those of the client, which counts up.
    const own = ((messageId + 0x7fff) % 0xffff) + 1;
    this.ownIds.add(own);
    this.link.toBroker({ cmd: 'publish', topic: END_TOPIC, payload: 'end', qos: 0, dup: false, retain: true });
    this.link.toBroker({ cmd: 'subscribe', messageId: own, subscriptions: [{ topic: END_TOPIC, qos: 0 }] });
    this.link.toBroker({ cmd: 'unsubscribe', messageId: own, unsubscriptions: [END_TOPIC] });
  }

  private passUnlessOwn(packet: Packet, pass: Pass): void {
    const id = packet.messageId ?? 0;
    if (!this.ownIds.has(id)) pass(packet);
    else if (packet.cmd === 'unsuback') this.ownIds.delete(id);
  }

  private receive(packet: IPublishPacket, pass: Pass): void {
    if (packet.topic === END_TOPIC) {
      const ended = packet.retain ? this.readings.shift() : undefined;
      if (ended !== undefined) this.deliver(ended, pass);
      return;
    }
    const reading = this.readings[0];
    if (packet.retain && reading !== undefined) reading.messages.push(packet);
    else pass(packet);
  }

  private deliver({ filters, messages }: Reading, pass: Pass): void {
    const isAwaited = this.afterNext.length > 0;
    let delivery: Delivery = { filters, steps: messages, afterNext: [], isAwaited };
    for (const rule of this.rules) delivery = rule(delivery);
    const { steps, afterNext } = delivery;
    clearTimeout(this.timer);
    const late = this.afterNext;
    this.afterNext = afterNext;
    if (afterNext.length > 0) this.timer = setTimeout(() => this.queue(this.takeLate(), pass), LAST_MS);
    this.queue([...steps, ...late], pass);
  }

  private takeLate(): readonly Step[] {
    const late = this.afterNext;
    this.afterNext = [];
    return late;
  }

  private queue(steps: readonly Step[], pass: Pass): void {
    this.delivered = this.delivered.then(() => deliverAll(steps, pass));
  }
}

async function deliverAll(steps: readonly Step[], pass: Pass): Promise<void> {
  for (const step of steps) {
    if (typeof step === 'number') await new Promise((resolve) => setTimeout(resolve, step));
    else pass(step);
  }
}
