/**
 * Builds all Redis keys of connections, messages and events; no other file builds one. All keys of a shard have the same
 * hash tag, so that one script can change them together, also on a Redis Cluster.
 */
import { ShardingKeys } from '@app/sharding';
import type { ConnectionType, OfflineReason } from './connection-state.js';

/** The keys of a shard by the names that `commands/*.lua` use; all of them begin with `shard`. */
export type MessageKeys = Readonly<
  Record<
    | 'shard'
    | 'hosts'
    | 'proxies'
    | 'held'
    | 'account_prefix'
    | 'connections'
    | 'expiry'
    | 'awaiting'
    | 'todo'
    | 'events'
    | 'message_prefix'
    | 'payload_prefix'
    | 'outbox_prefix'
    | 'messages_prefix'
    | 'idempotency_prefix'
    | 'accounts'
    | 'ready'
    | 'claimed'
    | 'claims'
    | 'outbound_owner'
    | 'outbound_closing'
    | 'accounts_asked'
    | 'dead_letters'
    | 'outbox_bytes'
    | 'log'
    | 'refusal_events'
    | 'talk_events'
    | 'finished_bytes'
    | 'finished_count'
    | 'finished_due'
    | 'finished_of_prefix'
    | 'swept',
    string
  >
>;

export class RegistryKeys extends ShardingKeys {
  /** Each message needs these keys, and to build their texts would take longer than the rest of the call. */
  private readonly keysOfMessages = new Map<number, MessageKeys>();

  /** Hash: the settings with which the key space was created (S0). */
  get marker(): string {
    return `${this.prefix}:marker`;
  }

  /** String: the format to which a shard has been migrated. Absent if the key space was created with its format. */
  format(shard: number): string {
    return `${this.shard(shard)}:format`;
  }

  /** Prefix of the keys of the BullMQ queues; all of them are on one Redis node. */
  get queuePrefix(): string {
    return `${this.prefix}:{queue}`;
  }

  /** Prefix of the counters of leased requests: strings that expire with the window that they count. */
  get requestLimits(): string {
    return `${this.prefix}:leased-requests`;
  }

  /** Pub/sub channel on which a gateway receives the results of its commands. */
  replies(gatewayId: string): string {
    return `${this.prefix}:replies:${gatewayId}`;
  }

  /** Pub/sub channel on which a gateway receives the ids of messages that are final; `waiting-gateways.lua` builds it too. */
  finalMessages(gatewayId: string): string {
    return `${this.prefix}:final:${gatewayId}`;
  }

  /** Hash, client id → connection, see `connection-record.ts`. */
  connections(shard: number): string {
    return `${this.shard(shard)}:connections`;
  }

  /**
   * Sorted set of client ids, all with score 0 and so in byte order: the online connections of one type, of all accounts or
   * of one.
   */
  online(shard: number, type: ConnectionType, account?: string): string {
    return `${this.scope(shard, account)}:online:${type}`;
  }

  /** The same for those that are offline for one reason. */
  offline(shard: number, type: ConnectionType, reason: OfflineReason, account?: string): string {
    return `${this.scope(shard, account)}:offline:${type}:${reason}`;
  }

  /** The same for those with a refusal window, which may have ended. */
  refused(shard: number, account?: string): string {
    return `${this.scope(shard, account)}:refused`;
  }

  /** The same for those with held messages; `held-connections.lua` writes it. */
  held(shard: number, account?: string): string {
    return `${this.scope(shard, account)}:held`;
  }

  /** Sorted set of `<term><client id>`, all with score 0: the connections by fact, of all accounts and of each one. */
  facts(shard: number, bucket: number): string {
    return `${this.factsPrefix(shard)}${bucket}`;
  }

  factsPrefix(shard: number): string {
    return `${this.shard(shard)}:facts:`;
  }

  /** Hash, client id → account, of the connections with a known account. */
  accounts(shard: number): string {
    return `${this.shard(shard)}:accounts`;
  }

  /** Set of the clients whose account is being requested: messages that carry an account are not published to them. */
  accountsAsked(shard: number): string {
    return `${this.shard(shard)}:accounts-asked`;
  }

  /** String: bytes of the events that wait for the account of their client. */
  waitingBytes(shard: number): string {
    return `${this.shard(shard)}:waiting-bytes`;
  }

  /** Stream: events about changes of connections and messages. */
  events(shard: number): string {
    return `${this.shard(shard)}:events`;
  }

  /** Stream: what clients say, which are their messages and the progress of their work. */
  talkEvents(shard: number): string {
    return `${this.shard(shard)}:events:talk`;
  }

  /** Stream: events about refused handshakes, and about errors that match no message. */
  refusalEvents(shard: number): string {
    return `${this.shard(shard)}:events:refusals`;
  }

  /** Stream: the dead letters. */
  deadLetters(shard: number): string {
    return `${this.shard(shard)}:dead-letters`;
  }

  /** Sorted set of to-dos by due time: what the owner still has to do after its commits. */
  todo(shard: number): string {
    return `${this.shard(shard)}:todo`;
  }

  /** Sorted set of unfinished message ids by the end of their time to live. */
  expiry(shard: number): string {
    return `${this.shard(shard)}:expiry`;
  }

  /** Sorted set of the ids of sent messages that await an answer, by the time when they become `unanswered`. */
  awaiting(shard: number): string {
    return `${this.shard(shard)}:awaiting`;
  }

  /** String: the number of finished messages. */
  finishedCount(shard: number): string {
    return `${this.shard(shard)}:finished-count`;
  }

  /** Sorted set of the lists of finished messages by the time when the first message of each is to be forgotten. */
  finishedDue(shard: number): string {
    return `${this.shard(shard)}:finished-due`;
  }

  /** Sorted set, payer → bytes of its finished messages; '' → bytes of all of the shard. */
  finishedBytes(shard: number): string {
    return `${this.shard(shard)}:finished-bytes`;
  }

  /**
   * List of the ids of a payer's finished messages, in the order in which they are forgotten. That of `answers:<payer>` has those of
   * which only the answer to their Idempotency-Key is left.
   */
  finishedOf(shard: number, payer: string): string {
    return this.finishedOfPrefix(shard) + payer;
  }

  /** List of unfinished message ids in the order of acceptance; the head is in flight or next. */
  outbox(shard: number, clientId: string): string {
    return this.outboxPrefix(shard) + clientId;
  }

  /** Hash, `client:<client id>` or payer → bytes of their unfinished messages; '' → bytes of all of the shard. */
  outboxBytes(shard: number): string {
    return `${this.shard(shard)}:outbox-bytes`;
  }

  /** String: one message, see `message-record.lua`. */
  message(shard: number, messageId: string): string {
    return this.messagePrefix(shard) + messageId;
  }

  /** String: the payload of an unfinished message if it is too large for the message's record. */
  payload(shard: number, messageId: string): string {
    return this.payloadPrefix(shard) + messageId;
  }

  /** Sorted set of the ids of all stored messages of a connection, by acceptance in microseconds. */
  messages(shard: number, clientId: string): string {
    return this.messagesPrefix(shard) + clientId;
  }

  /** Hash with expiry: the answer that was given to an Idempotency-Key. */
  idempotency(shard: number, clientId: string, key: string): string {
    return `${this.idempotencyPrefix(shard)}${clientId}/${key}`;
  }

  /**
   * Sorted set of the connections with messages to publish that no dispatcher has claimed, by the time from which one may
   * claim them, epoch microseconds; 0 if the client has just come online.
   */
  ready(shard: number): string {
    return `${this.shard(shard)}:ready`;
  }

  /** Set of the connections with a claimed message: the head of their outbox is being published. */
  claimed(shard: number): string {
    return `${this.shard(shard)}:claimed`;
  }

  /** Stream: claims that the accept script has made for the shard's dispatcher, and its bell. */
  claims(shard: number): string {
    return `${this.shard(shard)}:claims`;
  }

  /** String with expiry: the shard's dispatcher is about to release its lease, and nothing is claimed for it any more. */
  outboundClosing(shard: number): string {
    return `${this.shard(shard)}:outbound-closing`;
  }

  /** Keys and prefixes of keys for the commands on messages. */
  ofMessages(shard: number): MessageKeys {
    let keys = this.keysOfMessages.get(shard);
    if (keys === undefined) this.keysOfMessages.set(shard, (keys = this.buildOfMessages(shard)));
    return keys;
  }

  private buildOfMessages(shard: number): MessageKeys {
    return {
      shard: this.shard(shard),
      hosts: this.online(shard, 'host'),
      proxies: this.online(shard, 'proxy'),
      held: this.held(shard),
      account_prefix: `${this.shard(shard)}:account:`,
      connections: this.connections(shard),
      expiry: this.expiry(shard),
      awaiting: this.awaiting(shard),
      todo: this.todo(shard),
      events: this.events(shard),
      message_prefix: this.messagePrefix(shard),
      payload_prefix: this.payloadPrefix(shard),
      outbox_prefix: this.outboxPrefix(shard),
      messages_prefix: this.messagesPrefix(shard),
      idempotency_prefix: this.idempotencyPrefix(shard),
      accounts: this.accounts(shard),
      ready: this.ready(shard),
      claimed: this.claimed(shard),
      claims: this.claims(shard),
      outbound_owner: this.owner({ kind: 'outbound', index: shard }),
      outbound_closing: this.outboundClosing(shard),
      accounts_asked: this.accountsAsked(shard),
      dead_letters: this.deadLetters(shard),
      outbox_bytes: this.outboxBytes(shard),
      log: this.log(shard),
      refusal_events: this.refusalEvents(shard),
      talk_events: this.talkEvents(shard),
      finished_bytes: this.finishedBytes(shard),
      finished_count: this.finishedCount(shard),
      finished_due: this.finishedDue(shard),
      finished_of_prefix: this.finishedOfPrefix(shard),
      swept: this.swept(shard),
    };
  }

  /** Hash with expiry, kind → number of corrections that a sweep caused on the shard. */
  sweepCounts(shard: number, sweep: string): string {
    return `${this.shard(shard)}:sweep:${sweep}`;
  }

  /** String: when a complete sweep ended. Before that, an unknown client may still have a retained handshake. */
  swept(shard: number): string {
    return `${this.shard(shard)}:swept`;
  }

  /** Sorted set with expiry, by time: digests of retained messages of unregistered clients that sweeps have reported. */
  reported(shard: number): string {
    return `${this.shard(shard)}:reported`;
  }

  /** String: the last sweep, as JSON. */
  get lastSweep(): string {
    return `${this.prefix}:{cluster}:sweep`;
  }

  /** Hash: the ids of the running sweep (`current`) and of the one after it (`next`). */
  get sweepIds(): string {
    return `${this.prefix}:{cluster}:sweep-ids`;
  }

  /** List with expiry: the last sweeps that have ended, newest first, each as JSON. */
  get endedSweeps(): string {
    return `${this.prefix}:{cluster}:ended-sweeps`;
  }

  /** Hash with expiry: how long messages took to the broker in each minute of the last hour, see `sending-times.ts`. */
  get sendingTimes(): string {
    return `${this.prefix}:{cluster}:sending-times`;
  }

  /** Hash with expiry: how many connections there were in each minute of the last hour, see `connection-counts.ts`. */
  get connectionCounts(): string {
    return `${this.prefix}:{cluster}:connection-counts`;
  }

  /** String with expiry: a marker that was published to the lanes has arrived through one. */
  laneMarker(id: string): string {
    return `${this.prefix}:{cluster}:lane-marker:${id}`;
  }

  /** Hash: the uptime that the broker reported, its start by Redis' clock, and the id of this run of the broker. */
  get broker(): string {
    return `${this.prefix}:{cluster}:broker`;
  }

  /** Hash: the last check of the broker (`check`) and the last measurement of its queue (`queue`), each as JSON. */
  get brokerCheck(): string {
    return `${this.prefix}:{cluster}:broker-check`;
  }

  /**
   * Refused handshakes: `waiting` is a hash of refusals that wait for their answer. For the clients that were answered
   * last, `replied` is a hash of times and answered ids by client, and `recent` a sorted set of the clients by time.
   */
  refusals(shard: number): [waiting: string, replied: string, recent: string] {
    const shared = `${this.shard(shard)}:refusals`;
    return [`${shared}:waiting`, `${shared}:replied`, `${shared}:recent`];
  }

  private scope(shard: number, account: string | undefined): string {
    return account === undefined ? this.shard(shard) : `${this.shard(shard)}:account:${account}`;
  }

  private messagePrefix(shard: number): string {
    return `${this.shard(shard)}:message:`;
  }

  private payloadPrefix(shard: number): string {
    return `${this.shard(shard)}:payload:`;
  }

  private finishedOfPrefix(shard: number): string {
    return `${this.shard(shard)}:finished-of:`;
  }

  private outboxPrefix(shard: number): string {
    return `${this.shard(shard)}:outbox:`;
  }

  private messagesPrefix(shard: number): string {
    return `${this.shard(shard)}:messages:`;
  }

  private idempotencyPrefix(shard: number): string {
    return `${this.shard(shard)}:idempotency:`;
  }
}

/** What follows `shard` in each of the `MessageKeys`. */
export function messageKeyEndings(): Readonly<Record<string, string>> {
  const { shard, ...keys } = new RegistryKeys('').ofMessages(0);
  return Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, key.slice(shard.length)]));
}
