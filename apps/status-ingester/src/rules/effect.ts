/** What a transition is made of: the rules it goes by, what it makes of a connection, and what is to be done for it. */
import type { RefusalReason } from '@app/protocol';
import type {
  CommandMessage,
  CommandOutcome,
  Connection,
  DeadLetter,
  VerificationReason,
  MailboxMessage,
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
  /** Lanes that take part: with one, the first message of a client cannot have been overtaken. */
  lanes: number;
  maxInboundBytes: number;
  /** If a client flaps, its events are coalesced until it has kept a state for this long, in milliseconds; 0 for never. */
  eventSettleMs: number;
  /** What is known of a client's account without asking anybody; undefined if accounts are not in use. */
  accountOf?: (clientId: string) => KnownAccount;
}

/** `none`: it has no account. `ask`: somebody must be asked. */
export type KnownAccount = { kind: 'account'; account: string } | { kind: 'none' } | { kind: 'ask' };

export interface EventEffect {
  kind: 'event';
  event: RegistryEvent;
  /** When it happened and whose the connection was, if not now and the connection's. */
  at?: number;
  account?: string | null;
}

export type Effect =
  | EventEffect
  | { kind: 'dead-letter'; letter: DeadLetter; reason: RefusalReason }
  /** The owner does it after the commit, `inMs` later if that is given. */
  | { kind: 'to-do'; todo: ToDo; inMs?: number }
  /** The client's message was refused, and the client is to know why. */
  | ({ kind: 'refuse' } & Pick<Refused, 'inResponseTo' | 'details'>)
  | { kind: 'undo'; todo: ToDo }
  /** The client is to be verified. */
  | { kind: 'verify'; reason: VerificationReason; reply?: CommandMessage['reply']; sweep?: string }
  /** A verification was applied. */
  | { kind: 'verified'; change: Correction; answer: CommandOutcome }
  /** The client came online: what waits for it can go out. */
  | { kind: 'came-online' }
  /** The account of the client has become known, or has changed. */
  | { kind: 'account-known' }
  | { kind: 'reply'; reply: NonNullable<CommandMessage['reply']>; outcome: CommandOutcome };

/** What a verification made of a connection. */
export type Correction = 'none' | 'online' | 'updated' | 'offline' | 'reason';

export interface Transition {
  /** Undefined if the client is not known, or was forgotten. */
  connection: Connection | undefined;
  effects: Effect[];
}

export type At = Pick<MailboxMessage, 'at' | 'id'>;

/** What the rules of a client's state go by: a message on one of its topics. A `Packet` is one. */
export interface StatusMessage {
  clientId: string;
  /** The topic template it is on. */
  topic: string;
  body: string;
  /** Epoch milliseconds. */
  at: number;
}

/** How a retained message came: through a lane, through a lane once more, or by a read of what the broker retains. */
export type Source = 'live' | 'redelivered' | 'read-back';
