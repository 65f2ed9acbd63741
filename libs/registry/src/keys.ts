/**
 * The Redis keys of connections, messages and events: the only place that builds them. All keys of a shard share
 * its hash tag, so that one script can change them together, on one Redis and on a Redis Cluster alike.
 */
import { ShardingKeys } from '@app/sharding';
import type { ConnectionState, ConnectionType } from './connection-state.js';

/** As `commands/*.lua` name them. */
export type MessageKeys = Readonly<
  Record<
    | 'hosts'
    | 'proxies'
    | 'connections'
    | 'expiry'
    | 'finished'
    | 'todo'
    | 'events'
    | 'message_prefix'
    | 'outbox_prefix'
    | 'messages_prefix'
    | 'idempotency_prefix'
    | 'accounts'
    | 'woken'
    | 'draining'
    | 'drain_run'
    | 'waking'
    | 'accounts_asked'
    | 'dead_letters'
    | 'outbox_bytes'
    | 'log'
    | 'refusal_events'
    | 'finished_bytes'
    | 'finished_of_prefix',
    string
  >
>;

export class RegistryKeys extends ShardingKeys {
  /** Hash: what the installation was set up with (S0). */
  get marker(): string {
    return `${this.prefix}:marker`;
  }

  /** String: the format to which a shard has been migrated. Absent on a key space that was set up with its format. */
  format(shard: number): string {
    return `${this.shard(shard)}:format`;
  }

  /** Prefix of the wake-up queue's keys; one queue lives on one Redis node. */
  get queuePrefix(): string {
    return `${this.prefix}:{queue}`;
  }

  /** First part of the counters of requests: strings that live for a second. */
  get requestLimits(): string {
    return `${this.prefix}:requests`;
  }

  /** Pub/sub channel on which a gateway receives the results of its commands. */
  replies(gatewayId: string): string {
    return `${this.prefix}:replies:${gatewayId}`;
  }

  /** Hash, client id → connection as JSON. */
  connections(shard: number): string {
    return `${this.shard(shard)}:connections`;
  }

  /**
   * Sorted set of client ids, all with score 0 and so in byte order: the connections of one state and type, all of them
   * or those of one account.
   */
  index(shard: number, state: ConnectionState, type: ConnectionType, account?: string): string {
    return `${this.within(shard, account)}:${state}:${type}`;
  }

  /** Sorted set of `<fact>:<digest of the value>:<client id>`, all with score 0: connections by fact, likewise. */
  facts(shard: number, account?: string): string {
    return `${this.within(shard, account)}:facts`;
  }

  /** Hash, client id → account, of the connections that have one. */
  accounts(shard: number): string {
    return `${this.shard(shard)}:accounts`;
  }

  /** Set of the clients whose account is being asked for: nothing that carries an account is published to them. */
  accountsAsked(shard: number): string {
    return `${this.shard(shard)}:accounts-asked`;
  }

  /** String: bytes of the events that wait for the accounts of their clients. */
  waitingBytes(shard: number): string {
    return `${this.shard(shard)}:waiting-bytes`;
  }

  /** Stream: changes of connections and messages. */
  events(shard: number): string {
    return `${this.shard(shard)}:events`;
  }

  /** Stream: refused handshakes, and errors that belong to no message. */
  refusalEvents(shard: number): string {
    return `${this.shard(shard)}:events:refusals`;
  }

  /** Stream: what could not be processed. */
  deadLetters(shard: number): string {
    return `${this.shard(shard)}:dead-letters`;
  }

  /** Sorted set of to-dos by due time: what the owner still has to do for what was committed. */
  todo(shard: number): string {
    return `${this.shard(shard)}:todo`;
  }

  /** Sorted set of unfinished message ids by the end of their time to live. */
  expiry(shard: number): string {
    return `${this.shard(shard)}:expiry`;
  }

  /** Sorted set of finished message ids by the time at which they are to be forgotten. */
  finished(shard: number): string {
    return `${this.shard(shard)}:finished`;
  }

  /** Sorted set, who pays → bytes of their finished messages; of all of the shard under ''. */
  finishedBytes(shard: number): string {
    return `${this.shard(shard)}:finished-bytes`;
  }

  /** List of the ids of a payer's finished messages in the order of their ends. Some may be forgotten by now. */
  finishedOf(shard: number, payer: string): string {
    return this.finishedOfPrefix(shard) + payer;
  }

  /** List of message ids in the order of their acceptance; the head is in flight or next. */
  outbox(shard: number, clientId: string): string {
    return this.outboxPrefix(shard) + clientId;
  }

  /** Hash, `client:<client id>` or who pays → bytes of their unfinished messages; of all of the shard under ''. */
  outboxBytes(shard: number): string {
    return `${this.shard(shard)}:outbox-bytes`;
  }

  /** Hash: one message. */
  message(shard: number, messageId: string): string {
    return this.messagePrefix(shard) + messageId;
  }

  /** Sorted set of the ids of all messages of a connection that are kept, by acceptance in microseconds. */
  messages(shard: number, clientId: string): string {
    return this.messagesPrefix(shard) + clientId;
  }

  /** String: the answer that was given to an Idempotency-Key. */
  idempotency(shard: number, clientId: string, key: string): string {
    return `${this.idempotencyPrefix(shard)}${clientId}/${key}`;
  }

  /**
   * Sorted set of the connections with something to publish that no dispatcher has taken: by the time from which one may,
   * epoch microseconds; 0 for one that has just come online.
   */
  woken(shard: number): string {
    return `${this.shard(shard)}:woken`;
  }

  /** Set of the connections that a dispatcher has taken. */
  draining(shard: number): string {
    return `${this.shard(shard)}:draining`;
  }

  /** String: name of the latest drain run. */
  drainRun(shard: number): string {
    return `${this.shard(shard)}:drain-run`;
  }

  /** String with expiry: somebody is about to wake a dispatcher. */
  waking(shard: number): string {
    return `${this.shard(shard)}:waking`;
  }

  /** Keys and first parts of keys that commands on messages are given. */
  ofMessages(shard: number): MessageKeys {
    return {
      hosts: this.index(shard, 'online', 'host'),
      proxies: this.index(shard, 'online', 'proxy'),
      connections: this.connections(shard),
      expiry: this.expiry(shard),
      finished: this.finished(shard),
      todo: this.todo(shard),
      events: this.events(shard),
      message_prefix: this.messagePrefix(shard),
      outbox_prefix: this.outboxPrefix(shard),
      messages_prefix: this.messagesPrefix(shard),
      idempotency_prefix: this.idempotencyPrefix(shard),
      accounts: this.accounts(shard),
      woken: this.woken(shard),
      draining: this.draining(shard),
      drain_run: this.drainRun(shard),
      waking: this.waking(shard),
      accounts_asked: this.accountsAsked(shard),
      dead_letters: this.deadLetters(shard),
      outbox_bytes: this.outboxBytes(shard),
      log: this.log(shard),
      refusal_events: this.refusalEvents(shard),
      finished_bytes: this.finishedBytes(shard),
      finished_of_prefix: this.finishedOfPrefix(shard),
    };
  }

  /** Hash with expiry: what the results of a sweep have changed on the shard, by kind. */
  sweepCounts(shard: number, sweep: string): string {
    return `${this.shard(shard)}:sweep:${sweep}`;
  }

  /** String: when a sweep that saw the whole key space had ended. Until then who is not known may be known to the broker. */
  swept(shard: number): string {
    return `${this.shard(shard)}:swept`;
  }

  /** Sorted set with expiry: digests of what sweeps found retained for clients that never registered, and passed on, by time. */
  reported(shard: number): string {
    return `${this.shard(shard)}:reported`;
  }

  /** String: the last sweep, as JSON. */
  get lastSweep(): string {
    return `${this.prefix}:{cluster}:sweep`;
  }

  /** Hash: the id of the sweep that is under way (`current`), and of the one that begins after it (`next`). */
  get sweepIds(): string {
    return `${this.prefix}:{cluster}:sweep-ids`;
  }

  /** List with expiry: the sweeps that ended last, the newest first, each as JSON. */
  get endedSweeps(): string {
    return `${this.prefix}:{cluster}:ended-sweeps`;
  }

  /** String with expiry: a marker published to the lanes has come through one. */
  laneMarker(id: string): string {
    return `${this.prefix}:{cluster}:lane-marker:${id}`;
  }

  /** Hash: for how long the broker said it had been running, since when that is, and the id of that run. */
  get broker(): string {
    return `${this.prefix}:{cluster}:broker`;
  }

  /**
   * Refused handshakes: those that wait for their answer (hash, by client), and for the clients answered last when that
   * was and about which ids (hash, by client; sorted set of the same clients by time).
   */
  refusals(shard: number): [waiting: string, replied: string, recent: string] {
    const shared = `${this.shard(shard)}:refusals`;
    return [`${shared}:waiting`, `${shared}:replied`, `${shared}:recent`];
  }

  private within(shard: number, account: string | undefined): string {
    return account === undefined ? this.shard(shard) : `${this.shard(shard)}:account:${account}`;
  }

  private messagePrefix(shard: number): string {
    return `${this.shard(shard)}:message:`;
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
