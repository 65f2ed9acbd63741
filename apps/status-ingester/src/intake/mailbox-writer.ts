/**
 * Writes what a lane received into the mailboxes: each packet becomes an entry, and is appended to the mailbox of its
 * client's shard. The lane acknowledges a batch to the broker when `write` has resolved.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { BrokerGate, IntakePacket } from '@app/broker';
import { OPEN, Sampled, backoffMs, counter, type Logger } from '@app/platform';
import { payloadSample, payloadText, shardOf, type TopicTemplate } from '@app/protocol';
import { encodeCommand, encodePacket, type Packet } from '@app/registry';
import { StaleOwnerError, type Grant, type LaneItem, type Mailboxes } from '@app/sharding';
import { ClientRateLimiter, type ClientLimits } from './client-rate-limiter.js';
import type { LaneMarkers } from './lane-markers.js';

export interface MailboxWriterOptions {
  /** Templates of the topics on which clients publish. */
  templates: readonly TopicTemplate[];
  shardCount: number;
  laneCount: number;
  maxInboundBytes: number;
  /** Rate limit of each client. */
  limits: Omit<ClientLimits, 'largest'>;
}

/** By shard. */
type Batches = ReadonlyMap<number, readonly LaneItem[]>;

const NOTHING: Batches = new Map();

const received = counter('intake_messages', 'Messages taken over from the broker, by lane.', { lane: OPEN });
const throttled = counter('intake_throttled_messages', 'Messages over the rate limit of their client: not stored.');
const foreign = counter('intake_foreign_topics', 'Messages on a topic without a valid client id; dropped.');
const repeated = counter('intake_repeats', 'Redelivered messages that had been stored before, and were left out.', {
  lane: OPEN,
});
const waits = counter('intake_waits', 'Tries to store a batch that had to be repeated, by cause.', {
  cause: ['mailbox-full', 'redis'],
});

export class MailboxWriter {
  private readonly limiter: ClientRateLimiter;
  private readonly throttledDetails: string;
  private readonly warnings = new Sampled();

  constructor(
    private readonly mailboxes: Pick<Mailboxes, 'append'>,
    private readonly markers: LaneMarkers,
    private readonly gate: Pick<BrokerGate, 'keepsRetainFlag' | 'retainFlagRemoved'>,
    private readonly options: MailboxWriterOptions,
    private readonly logger: Logger,
  ) {
    const { limits, maxInboundBytes, laneCount } = options;
    this.limiter = new ClientRateLimiter({ ...limits, largest: maxInboundBytes });
    this.throttledDetails =
      `more than ${limits.rate} messages a second after ${limits.burst} at once, or than ${limits.bytesRate} bytes a ` +
      `second after ${this.limiter.bytesBurst} at once: those over it are not stored`;
    for (let lane = 0; lane < laneCount; lane++) {
      received.inc({ lane }, 0);
      repeated.inc({ lane }, 0);
    }
  }

  /**
   * Resolves when every packet is in its mailbox. It tries again while a mailbox is full or Redis is away.
   * @throws StaleOwnerError if the lane has a newer owner, which stores what is not stored yet; AbortError
   */
  async write(packets: readonly IntakePacket[], lane: Grant, sequence: number, signal: AbortSignal): Promise<void> {
    const markers = packets.filter((packet) => this.markers.isMarker(packet));
    const isFlagRemoved = markers.some((marker) => !marker.retain && this.markers.isControlMessage(marker));
    if (isFlagRemoved) this.gate.retainFlagRemoved();
    const ofClients = markers.length === 0 ? packets : packets.filter((packet) => !markers.includes(packet));
    let batches: Batches = this.byShard(ofClients, lane.index);
    for (let attempt = 0; batches.size > 0; attempt++) {
      batches = await this.append(lane, sequence, batches);
      if (batches.size > 0) await sleep(backoffMs(attempt, 20, 1000), undefined, { signal });
    }
    received.inc({ lane: lane.index }, ofClients.length);
    await this.markers.note(markers);
  }

  /** @returns the batches to append again: those whose mailbox is full, or all if the outcome is unknown. */
  private async append(lane: Grant, sequence: number, batches: Batches): Promise<Batches> {
    try {
      const { outcomes, repeats } = await this.mailboxes.append(lane, sequence, batches);
      if (repeats > 0) repeated.inc({ lane: lane.index }, repeats);
      const full = Array.from(batches).filter(([shard]) => outcomes.get(shard) === 'full');
      if (full.length === 0) return NOTHING;
      waits.inc({ cause: 'mailbox-full' });
      return new Map(full);
    } catch (error) {
      if (error instanceof StaleOwnerError) throw error;
      waits.inc({ cause: 'redis' });
      this.logger.warn({ err: error, lane: lane.index }, 'could not append to the mailboxes; trying again');
      return batches;
    }
  }

  private byShard(packets: readonly IntakePacket[], lane: number): Map<number, LaneItem[]> {
    const { templates, shardCount, maxInboundBytes } = this.options;
    const batches = new Map<number, LaneItem[]>();
    const now = performance.now();
    const { keepsRetainFlag } = this.gate;
    for (const packet of packets) {
      const sender = senderOf(packet.topic, templates);
      if (sender === undefined) {
        this.dropForeign(packet);
        continue;
      }
      const verdict = this.limiter.take(sender.clientId, packet.payload.length, now);
      if (verdict !== 'allowed') throttled.inc();
      if (verdict === 'throttled-again') continue;
      const item =
        verdict === 'allowed'
          ? toMailboxItem(packet, sender, lane, maxInboundBytes, keepsRetainFlag)
          : toThrottledItem(packet, sender, this.throttledDetails);
      const shard = shardOf(sender.clientId, shardCount);
      const batch = batches.get(shard);
      if (batch === undefined) batches.set(shard, [item]);
      else batch.push(item);
    }
    return batches;
  }

  private dropForeign({ topic }: IntakePacket): void {
    foreign.inc();
    this.warnings.take((skipped) =>
      this.logger.warn({ topic: topic.slice(0, 512), skipped }, 'message on a topic without a valid client id dropped'),
    );
  }
}

/** The client that sent a packet, and the template of the packet's topic. */
export type Sender = Pick<Packet, 'clientId' | 'topic'>;

/** @returns undefined if no template matches the topic, or the client id is not valid */
export function senderOf(topic: string, templates: readonly TopicTemplate[]): Sender | undefined {
  for (const template of templates) {
    const clientId = template.clientIdOf(topic);
    if (clientId !== undefined) return { clientId, topic: template.template };
  }
  return undefined;
}

/** `keepsRetainFlag`: whether it is known that the broker keeps the retain flag of messages. */
export function toMailboxItem(
  packet: IntakePacket,
  sender: Sender,
  lane: number,
  maxBytes: number,
  keepsRetainFlag: boolean,
): LaneItem {
  const { payload, retain, dup } = packet;
  const { clientId, topic } = sender;
  const { body, refused } = payloadText(payload, maxBytes);
  const mayBeRetained = !retain && !keepsRetainFlag;
  const text = encodePacket({ clientId, topic, lane, retain, mayBeRetained, dup, body, refused });
  return { text, delivery: deliveryOf(packet), isRedelivery: dup };
}

/**
 * The notice that a client is throttled, in place of its packet. It names no delivery: if the broker delivers the packet
 * again, the limit is applied again.
 */
export function toThrottledItem({ payload }: IntakePacket, { clientId, topic }: Sender, details: string): LaneItem {
  const command = { do: 'throttled', topic, sample: payloadSample(payload), details } as const;
  return { text: encodeCommand({ clientId, command }), delivery: '', isRedelivery: false };
}

/** A redelivery has the same packet id, topic and payload. A packet id alone may have been used for another message since. */
function deliveryOf({ packetId, topic, payload }: IntakePacket): string {
  return packetId === undefined ? '' : `${packetId}.${crc32(payload, crc32(topic)).toString(36)}`;
}
