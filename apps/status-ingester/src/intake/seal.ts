/** Makes a mailbox entry of what a lane received. Pure. Unreadable payloads are marked here, and only a sample kept. */
import { isUtf8 } from 'node:buffer';
import { crc32 } from 'node:zlib';
import type { IntakePacket } from '@app/broker';
import type { TopicTemplate } from '@app/protocol';
import { encodePacket, type Packet } from '@app/registry';
import type { LaneItem } from '@app/sharding';

const SAMPLE_BYTES = 1024;

/** @returns undefined for a topic that is none of ours, or whose client id is not valid. */
export function seal(
  packet: IntakePacket,
  lane: number,
  templates: readonly TopicTemplate[],
  maxBytes: number,
): LaneItem | undefined {
  const { payload, retain, dup } = packet;
  for (const template of templates) {
    const clientId = template.clientIdOf(packet.topic);
    if (clientId === undefined) continue;
    const about = { kind: 'packet', clientId, lane, topic: template.template, retain, dup } as const;
    const item = encodePacket({ ...about, ...readable(payload, maxBytes) });
    return Object.assign(item, { delivery: nameOf(packet), again: dup });
  }
  return undefined;
}

/** What is redelivered has the same packet id, topic and payload; an id alone may belong to another message by then. */
function nameOf({ packetId, topic, payload }: IntakePacket): string {
  return packetId === undefined ? '' : `${packetId}.${crc32(payload, crc32(topic)).toString(36)}`;
}

/** The text of a payload, or a sample of it and why it is not taken whole. */
export function readable(payload: Buffer, maxBytes: number): Pick<Packet, 'body' | 'refused'> {
  if (payload.length > maxBytes) return { body: sample(payload), refused: 'too-large' };
  if (!isUtf8(payload)) return { body: sample(payload), refused: 'not-utf8' };
  return { body: payload.toString() };
}

function sample(payload: Buffer): string {
  return payload.subarray(0, SAMPLE_BYTES).toString('latin1');
}
