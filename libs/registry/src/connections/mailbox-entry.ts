/**
 * What stands in a shard's mailbox: packets of clients, commands of callers, and what reads of the broker found. The text of
 * an entry is `<head>\n<client id>\n<body>`; head and client id are of one line:
 *
 * - `packet <lane> <flags> <topic>` and the payload; `too-large` or `not-utf8` in place of `packet`, and a sample of it
 * - `command` and JSON
 * - `verified <attempt> <sweep> <noted>` and JSON
 */
import type { RefusalReason } from '@app/protocol';
import { storedAt, type MailboxEntry } from '@app/sharding';

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
  /** The payload, or a sample of it if the lane refused it. */
  body: string;
  /** Why the lane did not pass on the whole payload. */
  refused?: Extract<RefusalReason, 'too-large' | 'not-utf8'>;
}

/** What a caller wants changed on a connection; the owner answers on the reply channel. */
export type Command =
  | { do: 'force-disconnect'; reconnect_after: string }
  | { do: 'lift-refusal' }
  /** `overdue`: its time is over, and nobody asked. */
  | { do: 'forget'; overdue?: true }
  /** Read what the broker retains and apply it; `sweep` that wants to know. */
  | { do: 'verify'; reason: VerificationReason; sweep?: string }
  /** The broker was started at `since`: a client that has not shaken hands since then is offline. */
  | { do: 'reconfirm'; since: number }
  /** Publish the coalesced changes to subscribers. */
  | { do: 'flush' }
  /** Emit the events that have waited too long for the answer whose the connection is. */
  | { do: 'emit-waiting' }
  /** The client sent more than its share: from this message on, whose topic template and sample these are, some are not stored. */
  | { do: 'throttled'; topic: string; sample: string; details: string }
  /** The account that owns the connection; null if unknown. */
  | { do: 'set-account'; account: string | null };

/** A `cut` stands for all messages of the client that were not stored within this time; the client is verified after it. */
export const THROTTLE_WINDOW_MS = 5000;

/** Why the stored state of a client has to be verified. */
export type VerificationReason =
  /** Two messages in a row came through different lanes, or through lanes unknown. */
  | 'lanes'
  /** The broker delivered a message again. */
  | 'redelivery'
  /** A message could not be applied. */
  | 'dropped'
  /** The client moved to another status topic. */
  | 'status-topic'
  /** It said goodbye, and nothing retained has followed. */
  | 'goodbye'
  /** Messages over its share were not stored. */
  | 'throttled'
  /** A sweep found a difference, or did not see the client. */
  | 'sweep'
  /** An operator asked. */
  | 'request';

/** What a verification found, by status topic template; a topic without a retained message is missing. */
export interface Retained {
  topic: string;
  body: string;
  refused?: Packet['refused'];
}

/**
 * What the broker retained: the result of a verification, read after `attempt` had noted the mailbox's last id; or read
 * by a sweep, without an attempt.
 */
export interface RetainedReading {
  kind: 'verified';
  clientId: string;
  attempt: string;
  retained: Retained[];
  /** The sweep that wants to know what it changed. */
  sweep?: string;
  /** Read by the sweep itself: the mailbox's last id before it began. */
  noted?: string;
}

export interface CommandMessage {
  kind: 'command';
  clientId: string;
  command: Command;
  /** Channel and id of the waiting caller; absent if nobody waits. */
  reply?: { channel: string; id: string };
  /** The account its caller is bound to: to it, connections of others do not exist. */
  account?: string;
}

/** `at`: when Redis stored it, epoch milliseconds; the time all transitions go by. `id`: of its entry. */
export type MailboxMessage = (Packet | CommandMessage | RetainedReading) & { at: number; id: string };

const COMMAND = 'command';
/** `verified <attempt> <sweep> <noted>`; `-` for none. */
const VERIFIED = /^verified (\S+) (\S+) (\S+)$/;

export function encodePacket({ clientId, lane, topic, retain, dup, refused, body }: Omit<Packet, 'kind'>): string {
  const flags = `${retain ? 'r' : '-'}${dup ? 'd' : '-'}`;
  return `${refused ?? 'packet'} ${lane} ${flags} ${topic}\n${clientId}\n${body}`;
}

/** The body of a command's entry. Gateways of 0.1.0 write it too. */
interface StoredCommand extends Pick<CommandMessage, 'command' | 'reply'> {
  within?: string;
}

export function encodeCommand({ clientId, command, reply, account }: Omit<CommandMessage, 'kind'>): string {
  return `${COMMAND}\n${clientId}\n${JSON.stringify({ command, reply, within: account })}`;
}

export function encodeRetainedReading({ clientId, retained, ...about }: Omit<RetainedReading, 'kind'>): string {
  const { attempt, sweep = '-', noted = '-' } = about;
  return `verified ${attempt || '-'} ${sweep} ${noted}\n${clientId}\n${JSON.stringify(retained)}`;
}

/** What can be said of any entry, whether or not it can be decoded. */
export function mailboxEntryParts(text: string): { head: string; clientId: string; body: string } {
  const first = text.indexOf('\n');
  const second = text.indexOf('\n', first + 1);
  return { head: text.slice(0, first), clientId: text.slice(first + 1, second), body: text.slice(second + 1) };
}

/** @throws Error for an entry that no release of this program wrote. */
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
  const verified = VERIFIED.exec(head);
  if (verified !== null) {
    const [attempt = '', sweep, noted] = verified.slice(1).map((part) => (part === '-' ? undefined : part));
    const retained = JSON.parse(body) as Retained[];
    return { kind: 'verified', clientId, attempt, retained, ...(sweep && { sweep }), ...(noted && { noted }), at, id };
  }
  const parts = /^(packet|too-large|not-utf8) (\d+) ([r-])([d-]) (.+)$/.exec(head);
  if (parts === null) throw new Error(`mailbox entry ${id} has an unknown head "${head}"`);
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
    id,
  };
}

/** A command that a process of 0.1.0 has left in a mailbox, by the names of today. */
function currentNames(command: Command): Command {
  const name: string = command.do;
  if (name === 'tell') return { do: 'flush' };
  if (name === 'cut') return { ...(command as Extract<Command, { do: 'throttled' }>), do: 'throttled' };
  if (command.do === 'verify' && (command.reason as string) === 'flood') return { ...command, reason: 'throttled' };
  return command;
}
