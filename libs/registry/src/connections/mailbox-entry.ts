/**
 * The entries of a shard's mailbox: packets of clients, commands of callers, and retained messages read from the broker.
 * The text of an entry is `<head>\n<client id>\n<body>`; head and client id have one line each:
 *
 * - head `packet <lane> <flags> <topic>`, body the payload. The first flag is `r` for retained and `?` for not known, the second one
 *   `d` for DUP. If the lane refused the payload, the head begins with `too-large` or `not-utf8`, and the body is a sample.
 * - head `command`, body JSON
 * - head `verified <attempt> <sweep> <noted>`, body JSON. The attempt of a sweep is `confirmed` if a second read brought the same.
 */
import type { RefusalReason } from '@app/protocol';
import { storedAt, type MailboxEntry } from '@app/sharding';

/** A message of a client, as the lane received it. */
export interface Packet {
  kind: 'packet';
  clientId: string;
  lane: number;
  /** Template of the topic. */
  topic: string;
  retain: boolean;
  /** The message came without the retain flag, and it is not known whether the broker keeps the flag. */
  mayBeRetained?: true;
  /** Whether the broker delivered the message again. */
  dup: boolean;
  /** The payload, or a sample of it if the lane refused it. */
  body: string;
  /** Why the lane refused the payload. */
  refused?: Extract<RefusalReason, 'too-large' | 'not-utf8'>;
}

/** What a caller wants to change on a connection; the owner answers on the reply channel. */
export type Command =
  | { do: 'force-disconnect'; reconnect_after: string }
  | { do: 'lift-refusal' }
  /** `overdue`: the connection's retention has ended, and no caller asked for it. */
  | { do: 'forget'; overdue?: true }
  /** Read the client's retained messages and apply them; the result is counted for `sweep`. */
  | { do: 'verify'; reason: VerificationReason; sweep?: string }
  /** The broker was started at `since`: a client without a handshake since then is offline. */
  | { do: 'reconfirm'; since: number }
  /** Emit the coalesced changes as one event. */
  | { do: 'flush' }
  /** Emit the events that have waited too long for the connection's account. */
  | { do: 'emit-waiting' }
  /** The client is throttled: the message with this topic template and sample, and maybe later ones, were not stored. */
  | { do: 'throttled'; topic: string; sample: string; details: string }
  /** The account of the connection; null if unknown. */
  | { do: 'set-account'; account: string | null };

/** A `throttled` command covers all messages of the client that were dropped in this time; the client is verified after it. */
export const THROTTLE_WINDOW_MS = 5000;

/** Why the stored state of a client has to be verified. */
export type VerificationReason =
  /** Two messages in a row arrived through different lanes, or the lane of one is unknown. */
  | 'lanes'
  /** The broker delivered a message again. */
  | 'redelivery'
  /** A message could not be applied, or may have lost its retain flag. */
  | 'dropped'
  /** The client moved to another status topic. */
  | 'status-topic'
  /** The client said goodbye, and the broker has not confirmed it by a retained message. */
  | 'goodbye'
  /** The client exceeded its rate limit, and messages were dropped. */
  | 'throttled'
  /** A sweep found a difference, or did not see the client. */
  | 'sweep'
  /** An operator asked. */
  | 'request'
  /** One reading brought the client online. */
  | 'online';

/** A retained message of a client, by status topic template. A topic without one has no entry. */
export interface Retained {
  topic: string;
  body: string;
  refused?: Packet['refused'];
}

/**
 * The retained messages of a client, read by a verification or by a sweep. `attempt` names the verification, which noted
 * the mailbox's last id before it read; it is empty for a sweep.
 */
export interface RetainedReading {
  kind: 'verified';
  clientId: string;
  attempt: string;
  retained: Retained[];
  /** The sweep for which the resulting change is counted. */
  sweep?: string;
  /** Only if the sweep itself read the messages: live messages after this mailbox id take precedence over them. */
  noted?: string;
  /** A second read has brought the same. Stored for a sweep only: the verifier of a client knows it by the attempt. */
  isConfirmed?: boolean;
  /** False if the broker cannot prove that it retains nothing. Not stored: the verifier knows it by the attempt. */
  provesAbsence?: boolean;
}

export interface CommandMessage {
  kind: 'command';
  clientId: string;
  command: Command;
  /** Channel and command id of the waiting caller; absent if no caller waits. */
  reply?: { channel: string; id: string };
  /** The account to which the caller is bound: it does not see connections of other accounts. */
  account?: string;
}

/** `at`: when Redis stored the entry, epoch milliseconds; transitions use this time only. `id`: the id of the entry. */
export type MailboxMessage = (Packet | CommandMessage | RetainedReading) & { at: number; id: string };

const COMMAND = 'command';
/** In place of an attempt. Releases that do not know it apply such a reading as well. */
const CONFIRMED = 'confirmed';
const PACKET = /^(packet|too-large|not-utf8) (\d+) ([r?-])([d-]) (.+)$/;
/** `verified <attempt> <sweep> <noted>`; `-` for none. */
const VERIFIED = /^verified (\S+) (\S+) (\S+)$/;

/** Members that do not apply may be undefined: to leave them out, a copy of the packet would be needed for each message. */
type EncodedPacket = Omit<Packet, 'kind' | 'mayBeRetained' | 'refused'> & {
  mayBeRetained?: boolean | undefined;
  refused?: Packet['refused'] | undefined;
};

export function encodePacket(packet: EncodedPacket): string {
  const { clientId, lane, topic, retain, mayBeRetained, dup, refused, body } = packet;
  const notRetained = mayBeRetained === true ? '?' : '-';
  const flags = `${retain ? 'r' : notRetained}${dup ? 'd' : '-'}`;
  return `${refused ?? 'packet'} ${lane} ${flags} ${topic}\n${clientId}\n${body}`;
}

/** The body of a command's entry. Gateways of 0.1.0 write it too, so `within` keeps its name. */
interface StoredCommand extends Pick<CommandMessage, 'command' | 'reply'> {
  within?: string;
}

export function encodeCommand({ clientId, command, reply, account }: Omit<CommandMessage, 'kind'>): string {
  return `${COMMAND}\n${clientId}\n${JSON.stringify({ command, reply, within: account })}`;
}

export function encodeRetainedReading({ clientId, retained, ...about }: Omit<RetainedReading, 'kind'>): string {
  const { sweep = '-', noted = '-' } = about;
  const attempt = about.noted !== undefined && about.isConfirmed === true ? CONFIRMED : about.attempt;
  return `verified ${attempt || '-'} ${sweep} ${noted}\n${clientId}\n${JSON.stringify(retained)}`;
}

/** The parts of an entry. Works for entries that cannot be decoded as well. */
export function mailboxEntryParts(text: string): { head: string; clientId: string; body: string } {
  const first = text.indexOf('\n');
  const second = text.indexOf('\n', first + 1);
  return { head: text.slice(0, first), clientId: text.slice(first + 1, second), body: text.slice(second + 1) };
}

/** @throws Error if no release has written such an entry */
export function decodeMailboxEntry({ id, text }: MailboxEntry): MailboxMessage {
  const at = storedAt(id);
  const { head, clientId, body } = mailboxEntryParts(text);
  if (head === COMMAND) {
    const { command, reply, within: account } = JSON.parse(body) as StoredCommand;
    return {
      kind: 'command',
      clientId,
      command: currentNames(command),
      ...(reply && { reply }),
      ...(account !== undefined && { account }),
      at,
      id,
    };
  }
  const verified = head.startsWith('verified ') ? VERIFIED.exec(head) : null;
  if (verified !== null) {
    const [attempt = '', sweep, noted] = verified.slice(1).map((part) => (part === '-' ? undefined : part));
    const retained = JSON.parse(body) as Retained[];
    const reading = { kind: 'verified', clientId, retained, ...(sweep && { sweep }), at, id } as const;
    if (noted === undefined) return { ...reading, attempt };
    return { ...reading, attempt: '', noted, ...(attempt === CONFIRMED && { isConfirmed: true }) };
  }
  const parts = PACKET.exec(head);
  if (parts === null) throw new Error(`mailbox entry ${id} cannot be decoded: unknown head "${head}"`);
  const [, verdict, lane, retain, dup, topic = ''] = parts;
  const packet: Packet & { at: number; id: string } = {
    kind: 'packet',
    clientId,
    lane: Number(lane),
    topic,
    retain: retain === 'r',
    dup: dup === 'd',
    body,
    at,
    id,
  };
  if (retain === '?') packet.mayBeRetained = true;
  if (verdict !== 'packet') packet.refused = verdict as 'too-large' | 'not-utf8';
  return packet;
}

/** Translates the names in a command that a process of 0.1.0 has left in a mailbox. */
function currentNames(command: Command): Command {
  const name: string = command.do;
  if (name === 'tell') return { do: 'flush' };
  if (name === 'cut') return { ...(command as Extract<Command, { do: 'throttled' }>), do: 'throttled' };
  if (command.do === 'verify' && (command.reason as string) === 'flood') return { ...command, reason: 'throttled' };
  return command;
}
