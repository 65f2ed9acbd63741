/** The outboxes of connections: how dispatchers drain them, and what clients report of what they got. */
import { shardOf } from '@app/protocol';
import { RedisScript, type Redis } from '@app/platform';
import { failMovedScript } from './account-check.js';
import { DRAIN_ENDS, drainScript, type ClaimReply, type DrainEnd, type StepKind } from './drain-script.js';
import { type RegistryEvent } from '../events/event.js';
import { MESSAGE_LUA, messageScript } from './message-script.js';
import { brief } from '../message-status.js';
import type { RegistryKeys } from '../keys.js';

/** What became of a publish; `attempt` as it was claimed. */
export type Settlement = { clientId: string } & (
  | (Pick<ClaimedMessage, 'messageId' | 'attempt'> &
      (
        | { outcome: 'sent' }
        /** The broker refused it for good. */
        | { outcome: 'failed'; details: string }
        /** Nobody listens on the client's topic: tried again after a back-off, held meanwhile. */
        | { outcome: 'unheard' }
        /** Not published: tried again after a back-off. */
        | { outcome: 'retry'; details: string }
      ))
  /** The claim came too late to be acted on: it is to be made anew. */
  | { outcome: 'late' }
);

export interface ClaimedMessage {
  clientId: string;
  messageId: string;
  directive: string;
  payloadJson: string | undefined;
  /** Time to live that is left, milliseconds. */
  leftMs: number;
  requestId: string;
  /** 1 for the first try. */
  attempt: number;
  createdAt: number;
}

export interface DrainStep {
  /** Names the run to its next step. */
  run: string;
  /**
   * `draining`: it goes on. `idle`: nothing is left to do now, and the run has ended. `lost`: nothing was done, and the run
   * is to be started anew once nothing is under way. `superseded`: another run has begun since, and takes everything.
   */
  kind: StepKind;
  claimed: ClaimedMessage[];
  /** Connections whose drain has ended, by how; those that wait for their next try are woken by a to-do of the shard. */
  ends: Record<DrainEnd, number>;
  /** Stored messages that could not be read: they have failed, and are kept as dead letters. */
  unreadable: number;
}

/** What a dispatcher says with a step of its run. */
export interface DrainState {
  /** Undefined starts a run, which takes over all connections that an earlier one had. */
  run: string | undefined;
  /** Connections with a claimed message that this step does not settle. */
  underWay: number;
  /** Connections that may be taken; with 'none-goes-on', those that are settled are left as well. */
  room: number | 'none-goes-on';
  settlements: readonly Settlement[];
}

/** What a client's `message-error` did; only `failed` changed anything. */
export type ClientErrorOutcome = 'failed' | 'repeated' | 'unknown' | 'foreign' | 'not-published';

/** Waiting time after an unheard or failed try doubles from the first to the second. */
const RETRY_MS = { first: 1000, most: 60_000 };

/**
 * KEYS `ofMessages` · ARGV client id, message id, details, event or '' → the outcome; the event is told where no message
 * matches.
 */
const clientErrorScript = new RedisScript<ClientErrorOutcome>(
  'ccClientError',
  messageScript(`
   local m = load(ARGV[2], 'attempts')
   local account = call('HGET', ACCOUNTS, ARGV[1])
   if m[3] ~= ARGV[1] or (m[5] and m[5] ~= account) then
     if ARGV[4] ~= '' then append_refusal(ARGV[4], account) end
     return m[3] and 'foreign' or 'unknown'
   end
   if m[1] == 'failed' then return 'repeated' end
   -- A claim that was given back may have reached the client all the same.
   local was_claimed = m[1] == 'in_flight' or m[1] == 'sent' or (tonumber(m[6]) or 0) >= 1
   if was_claimed and move(ARGV[2], m, 'failed', 'failed', ARGV[3]) then
     remove_from_outbox(ARGV[1], ARGV[2])
     return 'failed'
   end
   return 'not-published'`),
);

/** Behind `MESSAGE_LUA`. What is stored and cannot be read counts as nothing: the next drain makes it a dead letter. */
const HELD_LUA = `
   local function is_held(client)
     if not (call('ZSCORE', HOSTS, client) or call('ZSCORE', PROXIES, client)) then return true end
     local head = redis.pcall('LINDEX', OUTBOX .. client, 0)
     return type(head) == 'string' and redis.pcall('HGET', MESSAGE .. head, 'unheard') == '1'
   end
`;

/** KEYS `ofMessages` · ARGV client id → 0/1 */
const isHeldScript = new RedisScript<0 | 1>(
  'ccIsHeld',
  `${MESSAGE_LUA}${HELD_LUA}
   return is_held(ARGV[1]) and 1 or 0`,
);

/** Whether what waits for a client is held: it is offline, or the last try found that it does not listen. */
export async function isHeld(redis: Redis, keys: RegistryKeys, shard: number, clientId: string): Promise<boolean> {
  return (await isHeldScript.run(redis, keys.ofMessages(shard), [clientId])) === 1;
}

/** KEYS `ofMessages` · ARGV client ids → how many messages are held for each, as `isHeld` says. */
const heldScript = new RedisScript<number[]>(
  'ccHeld',
  `${MESSAGE_LUA}${HELD_LUA}
   local counts = {}
   for i, id in ipairs(ARGV) do
     local waiting = redis.pcall('LLEN', OUTBOX .. id)
     counts[i] = type(waiting) == 'number' and waiting > 0 and is_held(id) and waiting or 0
   end
   return counts`,
);

/** How many messages are held for each of these clients of one shard. */
export async function heldCounts(
  redis: Redis,
  keys: RegistryKeys,
  shard: number,
  clientIds: readonly string[],
): Promise<number[]> {
  return heldScript.run(redis, keys.ofMessages(shard), clientIds);
}

export class Outboxes {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shardCount: number,
  ) {}

  /** A step of a drain run of the shard. Safe to repeat. */
  async step(shard: number, { run, underWay, room, settlements }: DrainState): Promise<DrainStep> {
    const args = [run ?? '', underWay, room === 'none-goes-on' ? -1 : room, RETRY_MS.first, RETRY_MS.most];
    for (const settlement of settlements) {
      const { clientId, outcome } = settlement;
      if (outcome === 'late') args.push(clientId, '', '', '', '');
      else {
        const details = 'details' in settlement ? brief(settlement.details) : '';
        args.push(clientId, settlement.messageId, settlement.attempt, outcome, details);
      }
    }
    const [name, kind, counts, ...claims] = await drainScript.run(this.redis, this.keys.ofMessages(shard), args);
    const ends = { empty: 0, offline: 0, waiting: 0, interrupted: 0 };
    for (const [i, how] of DRAIN_ENDS.entries()) ends[how] = counts[i] ?? 0;
    const unreadable = counts[DRAIN_ENDS.length] ?? 0;
    return { run: name, kind, ends, unreadable, claimed: claims.map(toClaimed) };
  }

  /** Fails what waits for a client and was accepted for another account than the client's. @returns how many */
  async failMoved(shard: number, clientId: string): Promise<number> {
    const scriptKeys = this.keys.ofMessages(shard);
    let failed = 0;
    for (let from = 0; from >= 0;) {
      const [count, next] = await failMovedScript.run(this.redis, scriptKeys, [clientId, from]);
      failed += count;
      from = next;
    }
    return failed;
  }

  /** A client's `message-error`: the message becomes `failed`, if it was claimed for this very client at least once. */
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
      details: brief(details),
    };
    const args = [clientId, messageId, brief(details), withEvent ? JSON.stringify(event) : ''];
    return clientErrorScript.run(this.redis, this.keys.ofMessages(shard), args);
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
