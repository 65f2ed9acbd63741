/** What stands in a shard's mailbox: packets of clients, and commands of callers. Encoding of `meta` and `body`. */
import type { RefusalReason } from '@app/protocol';
import type { MailboxEntry, MailboxItem } from '@app/sharding';
import { storedAt } from '@app/sharding';

/** A message of a client, as its lane received it. */
export interface Packet {
  kind: 'packet';
  clientId: string;
  lane: number;
  /** The topic template it came on. */
  topic: string;
  retain: boolean;
  /** Redelivered by the broker. */
  dup: boolean;
  /** The payload, or a sample of it where the lane refused it. */
  body: string;
  /** Why the lane did not pass on the whole payload. */
  refused?: Extract<RefusalReason, 'too-large' | 'not-utf8'>;
}

/** What a caller wants changed on a connection; the owner answers on the reply channel. */
export type Command = { do: 'force-disconnect'; reconnect_after: string } | { do: 'lift-refusal' } | { do: 'forget' };

export interface CommandMessage {
  kind: 'command';
  clientId: string;
  command: Command;
  /** Channel and id of the waiting caller; absent where nobody waits. */
  reply?: { channel: string; id: string };
}

/** `at`: when Redis stored it, epoch milliseconds; the time all transitions go by. */
export type MailboxMessage = (Packet | CommandMessage) & { at: number };

const COMMAND = 'command';

export function encodePacket(packet: Packet): MailboxItem {
  const flags = `${packet.retain ? 'r' : '-'}${packet.dup ? 'd' : '-'}`;
  return {
    clientId: packet.clientId,
    meta: `${packet.refused ?? 'packet'} ${packet.lane} ${flags} ${packet.topic}`,
    body: packet.body,
  };
}

export function encodeCommand({ clientId, command, reply }: Omit<CommandMessage, 'kind'>): MailboxItem {
  return { clientId, meta: COMMAND, body: JSON.stringify({ command, reply }) };
}

/** @throws Error for an entry that no release of this program wrote. */
export function decodeMailboxEntry(entry: MailboxEntry): MailboxMessage {
  const at = storedAt(entry.id);
  const { clientId, meta, body } = entry;
  if (meta === COMMAND) {
    const { command, reply } = JSON.parse(body) as Pick<CommandMessage, 'command' | 'reply'>;
    return { kind: 'command', clientId, command, ...(reply && { reply }), at };
  }
  const parts = /^(packet|too-large|not-utf8) (\d+) ([r-])([d-]) (.+)$/.exec(meta);
  if (parts === null) throw new Error(`mailbox entry ${entry.id} has an unknown meta "${meta}"`);
  const [, verdict, lane, retain, dup, topic = ''] = parts;
  return {
    kind: 'packet',
    clientId,
    lane: Number(lane),
    topic,
    retain: retain === 'r',
    dup: dup === 'd',
    body,
    ...(verdict === 'packet' ? {} : { refused: verdict as 'too-large' | 'not-utf8' }),
    at,
  };
}
