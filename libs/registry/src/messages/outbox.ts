/** The outboxes of connections: dispatchers drain them, and clients report errors of the messages that they received. */
import { shardOf } from '@app/protocol';
import type { Redis } from '@app/platform';
import { commands } from '../commands.js';
import { failMoved } from './account-check.js';
import { type RegistryEvent } from '../events/event.js';
import { truncateDetails } from '../message-status.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';

/** Why the drain of a connection ended, in the order of the counts in the reply. */
export const DRAIN_ENDS = ['empty', 'offline', 'waiting', 'interrupted'] as const;
export type DrainEnd = (typeof DRAIN_ENDS)[number];

type StepKind = 'draining' | 'idle' | 'lost' | 'superseded';

/** `[client id, message id, directive, payload, left ms, request id, attempt, created at]` */
type ClaimReply = [string, string, string, string, number, string, number, string];

/** The result of a publish; `attempt` is that of the claim. */
export type Settlement = { clientId: string } & (
  | (Pick<ClaimedMessage, 'messageId' | 'attempt'> &
      (
        | { outcome: 'sent' }
        /** The broker refused the message for good. */
        | { outcome: 'failed'; details: string }
        /** The client's topic had no subscribers: the message is held, and retried after a back-off. */
        | { outcome: 'no-subscribers' }
        /** The message was not published: it is retried after a back-off. */
        | { outcome: 'retry'; details: string }
      ))
  /** The claim arrived too late to be used: the message must be claimed again. */
  | { outcome: 'late' }
);

export interface ClaimedMessage {
  clientId: string;
  messageId: string;
  directive: string;
  payloadJson: string | undefined;
  /** Remaining time to live, milliseconds. */
  leftMs: number;
  requestId: string;
  /** Number of this attempt, from 1. */
  attempt: number;
  createdAt: number;
}

export interface DrainStep {
  /** Id of the run, for its next step. */
  run: string;
  /**
   * `draining`: the run continues. `idle`: nothing is left to do, and the run has ended. `lost`: the reply to an earlier
   * step was lost, and this step did nothing; start a new run when no publish is pending. `superseded`: a newer run has
   * begun and takes over all connections.
   */
  kind: StepKind;
  claimed: ClaimedMessage[];
  /** Number of connections whose drain has ended, by reason. A to-do of the shard wakes those that wait for a retry. */
  ends: Record<DrainEnd, number>;
  /** Number of stored messages that could not be read: they have failed, and are dead-lettered. */
  unreadable: number;
}

/** The input of a step, from the dispatcher that has the run. */
export interface DrainState {
  /** Undefined starts a run, which takes over all connections of the earlier one. */
  run: string | undefined;
  /** Number of connections with a claimed message that this step does not complete. */
  underWay: number;
  /** How many connections may be taken; with 'none-goes-on', completed connections are released as well. */
  room: number | 'none-goes-on';
  settlements: readonly Settlement[];
}

/** The outcome of a client's `message-error`; only `failed` changed the message. */
export type ClientErrorOutcome = 'failed' | 'repeated' | 'unknown' | 'foreign' | 'not-published';

/** Back-off before an attempt is repeated. It doubles with each attempt. */
const RETRY_MS = { first: 1000, longest: 60_000 };

/** One step of a drain run. */
const drain = commands.load<
  MessageKeys,
  {
    run: string;
    under_way: number;
    room: number;
    first_wait_ms: number;
    longest_wait_ms: number;
    settlements: readonly (string | number)[];
  },
  [run: string, kind: StepKind, ends: number[], ...ClaimReply[]]
>('drain');

const failByClient = commands.load<
  MessageKeys,
  { client: string; message_id: string; details: string; unmatched_event: string },
  ClientErrorOutcome
>('fail-by-client');

const isHeldCommand = commands.load<MessageKeys, { client: string }, 0 | 1>('is-held');

const countHeld = commands.load<MessageKeys, { clients: readonly string[] }, number[]>('held-counts');

/** Whether the queued messages of a client are held: it is offline, or the last attempt found no subscribers. */
export async function isHeld(redis: Redis, keys: RegistryKeys, shard: number, clientId: string): Promise<boolean> {
  return (await isHeldCommand.run(redis, keys.ofMessages(shard), { client: clientId })) === 1;
}

/** The number of held messages of each of these clients of one shard. */
export async function heldCounts(
  redis: Redis,
  keys: RegistryKeys,
  shard: number,
  clientIds: readonly string[],
): Promise<number[]> {
  return countHeld.run(redis, keys.ofMessages(shard), { clients: clientIds });
}

export class Outboxes {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shardCount: number,
  ) {}

  /** Runs one step of a drain run of the shard. Safe to repeat. */
  async step(shard: number, { run, underWay, room, settlements }: DrainState): Promise<DrainStep> {
    const packed: (string | number)[] = [];
    for (const settlement of settlements) {
      const { clientId, outcome } = settlement;
      if (outcome === 'late') packed.push(clientId, '', '', '', '');
      else {
        const details = 'details' in settlement ? truncateDetails(settlement.details) : '';
        packed.push(clientId, settlement.messageId, settlement.attempt, outcome, details);
      }
    }
    const [name, kind, counts, ...claims] = await drain.run(this.redis, this.keys.ofMessages(shard), {
      run: run ?? '',
      under_way: underWay,
      room: room === 'none-goes-on' ? -1 : room,
      first_wait_ms: RETRY_MS.first,
      longest_wait_ms: RETRY_MS.longest,
      settlements: packed,
    });
    const ends = { empty: 0, offline: 0, waiting: 0, interrupted: 0 };
    for (const [i, how] of DRAIN_ENDS.entries()) ends[how] = counts[i] ?? 0;
    const unreadable = counts[DRAIN_ENDS.length] ?? 0;
    return { run: name, kind, ends, unreadable, claimed: claims.map(toClaimed) };
  }

  /** Fails queued messages that were accepted for another account than the client's. @returns the number of them */
  async failMoved(shard: number, clientId: string): Promise<number> {
    const shardKeys = this.keys.ofMessages(shard);
    let failed = 0;
    for (let from = 0; from >= 0;) {
      const [count, next] = await failMoved.run(this.redis, shardKeys, { client: clientId, from });
      failed += count;
      from = next;
    }
    return failed;
  }

  /** Applies a client's `message-error`: the message becomes `failed` if it was claimed for this client at least once. */
  async failByClient(
    clientId: string,
    messageId: string,
    details: string,
    /** Whether an event is appended if no message matches. */
    withEvent = true,
  ): Promise<ClientErrorOutcome> {
    const shard = shardOf(clientId, this.shardCount);
    const event: RegistryEvent = {
      type: 'message.unmatched_error',
      client_id: clientId,
      in_response_to: messageId,
      details: truncateDetails(details),
    };
    return failByClient.run(this.redis, this.keys.ofMessages(shard), {
      client: clientId,
      message_id: messageId,
      details: truncateDetails(details),
      unmatched_event: withEvent ? JSON.stringify(event) : '',
    });
  }
}

function toClaimed(reply: ClaimReply): ClaimedMessage {
  const [clientId, messageId, directive, payload, leftMs, requestId, attempt, createdAt] = reply;
  return {
    clientId,
    messageId,
    directive,
    payloadJson: payload === '' ? undefined : payload,
    leftMs,
    requestId,
    attempt,
    createdAt: Number(createdAt),
  };
}
