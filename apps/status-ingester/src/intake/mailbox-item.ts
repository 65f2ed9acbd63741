/** Makes a mailbox entry of what a lane received. Pure. */
import { crc32 } from 'node:zlib';
import type { IntakePacket } from '@app/broker';
import { payloadSample, payloadText, type TopicTemplate } from '@app/protocol';
import { encodeCommand, encodePacket, type Packet } from '@app/registry';
import type { LaneItem } from '@app/sharding';

/** Whose a packet is, and the template of the topic it came on. */
export type Sender = Pick<Packet, 'clientId' | 'topic'>;

/** @returns undefined for a topic that is none of ours, or whose client id is not valid. */
export function senderOf(topic: string, templates: readonly TopicTemplate[]): Sender | undefined {
  for (const template of templates) {
    const clientId = template.clientIdOf(topic);
    if (clientId !== undefined) return { clientId, topic: template.template };
  }
  return undefined;
}

export function toMailboxItem(packet: IntakePacket, sender: Sender, lane: number, maxBytes: number): LaneItem {
  const { payload, retain, dup } = packet;
  const text = encodePacket({ ...sender, lane, retain, dup, ...payloadText(payload, maxBytes) });
  return { text, delivery: nameOf(packet), again: dup };
}

/**
 * The notice that a sender is throttled, in place of its packet. It names no delivery: a packet that the broker delivers
 * again is judged again.
 */
export function toThrottledItem({ payload }: IntakePacket, { clientId, topic }: Sender, details: string): LaneItem {
  const command = { do: 'throttled', topic, sample: payloadSample(payload), details } as const;
  return { text: encodeCommand({ clientId, command }), delivery: '', again: false };
}

/** What is redelivered has the same packet id, topic and payload; an id alone may belong to another message by then. */
function nameOf({ packetId, topic, payload }: IntakePacket): string {
  return packetId === undefined ? '' : `${packetId}.${crc32(payload, crc32(topic)).toString(36)}`;
}
