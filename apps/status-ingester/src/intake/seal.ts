/** Makes a mailbox entry of what a lane received. Pure. Unreadable payloads are marked here, and only a sample kept. */
import { isUtf8 } from 'node:buffer';
import type { IntakePacket } from '@app/broker';
import type { TopicTemplate } from '@app/protocol';
import { encodePacket } from '@app/registry';
import type { MailboxItem } from '@app/sharding';

const SAMPLE_BYTES = 1024;

/** @returns undefined for a topic that is none of ours, or whose client id is not valid. */
export function seal(
  packet: IntakePacket,
  lane: number,
  templates: readonly TopicTemplate[],
  maxBytes: number,
): MailboxItem | undefined {
  const { payload, retain, dup } = packet;
  for (const template of templates) {
    const clientId = template.clientIdOf(packet.topic);
    if (clientId === undefined) continue;
    const about = { kind: 'packet', clientId, lane, topic: template.template, retain, dup } as const;
    if (payload.length > maxBytes) return encodePacket({ ...about, body: sample(payload), refused: 'too-large' });
    if (!isUtf8(payload)) return encodePacket({ ...about, body: sample(payload), refused: 'not-utf8' });
    return encodePacket({ ...about, body: payload.toString() });
  }
  return undefined;
}

function sample(payload: Buffer): string {
  return payload.subarray(0, SAMPLE_BYTES).toString('latin1');
}
