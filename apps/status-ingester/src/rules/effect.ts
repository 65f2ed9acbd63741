/** The types of a transition: the rules it applies, the connection it results in, and its effects. */
import type { RefusalReason } from '@app/protocol';
import type {
  Answer,
  CommandMessage,
  CommandOutcome,
  Connection,
  DeadLetter,
  VerificationReason,
  MailboxMessage,
  Note,
  Progress,
  Refused,
  RegistryEvent,
  ToDo,
} from '@app/registry';

export interface Rules {
  /** Templates of the topics that carry connection state. */
  statusTopics: readonly string[];
  /** Template of the topic that carries everything else. */
  inTopic: string;
  /** Answer accepted live handshakes. */
  respond: boolean;
  connectionRetentionMs: number;
  /** Number of lanes. With one, all messages of a client come in order. */
  lanes: number;
  maxInboundBytes: number;
  /** Events of a client that flaps are coalesced until it has kept its state for this long; 0 to coalesce none. */
  eventSettleMs: number;
  /** What is known of a client's account without asking; undefined if accounts are not in use. */
  accountOf?: (clientId: string) => KnownAccount;
}

/** `none`: the client has no account. `ask`: its account must be asked for. */
export type KnownAccount = { kind: 'account'; account: string } | { kind: 'none' } | { kind: 'ask' };

export interface EventEffect {
  kind: 'event';
  event: RegistryEvent;
  /** When it happened, and the account at that time; by default the time of the message and the account of the connection. */
  at?: number;
  account?: string | null;
}

export type Effect =
  | EventEffect
  | { kind: 'dead-letter'; letter: DeadLetter; reason: RefusalReason }
  /** The client's answer to a message that was sent to it. `at`: when it was received, if that was before this message. */
  | { kind: 'answer'; answer: Answer; at?: number }
  /** The client still works on a message that was sent to it. */
  | { kind: 'progress'; progress: Progress; at?: number }
  /** An answer to the message did not count: its history says so. */
  | { kind: 'note'; note: Note; at?: number }
  /** The owner runs it after the commit, or `inMs` later if that is given. */
  | { kind: 'to-do'; todo: ToDo; inMs?: number }
  /** The client's message was refused, and the client gets the reason. */
  | ({ kind: 'refuse' } & Omit<Refused, 'clientId' | 'messageId'>)
  | { kind: 'undo'; todo: ToDo }
  /** Requests a verification of the client. */
  | { kind: 'verify'; reason: VerificationReason; reply?: CommandMessage['reply']; sweep?: string }
  /** The reading contradicts an online client, and changes nothing before a second one confirms it. */
  | { kind: 'unconfirmed' }
  /** A verification was applied. */
  | { kind: 'verified'; change: Correction; isUnproven?: true; answer: CommandOutcome }
  /** The client came online: messages that wait for it can be sent. */
  | { kind: 'came-online' }
  /** The account of the client has become known, or has changed. */
  | { kind: 'account-known' }
  | { kind: 'reply'; reply: NonNullable<CommandMessage['reply']>; outcome: CommandOutcome };

/** How a verification changed a connection. */
export type Correction = 'none' | 'online' | 'updated' | 'offline' | 'reason';

export interface Transition {
  /** Undefined if the client is unknown, or was forgotten. */
  connection: Connection | undefined;
  effects: Effect[];
}

export type At = Pick<MailboxMessage, 'at' | 'id'>;

/** A message of a client on one of its topics, live or retained. A `Packet` is one. */
export interface StatusMessage {
  clientId: string;
  /** The template of the topic that it is on. */
  topic: string;
  body: string;
  /** Epoch milliseconds. */
  at: number;
}

/** How a retained message came: through a lane, through a lane as a redelivery, or by a read of what the broker retains. */
export type Source = 'live' | 'redelivered' | 'read-back';
