/** What there is of messages now, of all or of one payer: sizes of sets, and the counters of the budgets. */
import type { Redis } from '@app/platform';
import { messageCommands } from '../commands.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';

export interface MessageTotals {
  /** Those that are queued, held or in flight; undefined for a payer. */
  unfinished: number | undefined;
  /** Those that were sent and await an answer; undefined for a payer. */
  awaiting: number | undefined;
  /** Connections with a message that is being published; undefined for a payer. */
  connectionsInFlight: number | undefined;
  /** Connections with held messages; undefined for a payer. */
  connectionsHeld: number | undefined;
  /** Messages in flight; undefined for all payers. */
  inFlight: number | undefined;
  /** Bytes that unfinished messages and those that await an answer take. */
  unfinishedBytes: number;
  finished: number;
  finishedBytes: number;
}

type Reply = Record<
  | 'unfinished'
  | 'awaiting'
  | 'connections_claimed'
  | 'connections_held'
  | 'in_flight'
  | 'unfinished_bytes'
  | 'finished'
  | 'finished_bytes',
  number
>;

const messageTotals = messageCommands.load<MessageKeys, { payer: string }, Reply>('message-totals');

/** @param payer undefined for all */
export async function readMessageTotals(
  redis: Redis,
  keys: RegistryKeys,
  shardCount: number,
  payer?: string,
): Promise<MessageTotals> {
  const shards = await Promise.all(
    Array.from({ length: shardCount }, (_, shard) =>
      messageTotals.run(redis, keys.ofMessages(shard), { payer: payer ?? '' }),
    ),
  );
  const sum = (name: keyof Reply): number => shards.reduce((total, shard) => total + shard[name], 0);
  const ofAll = (name: keyof Reply): number | undefined => (payer === undefined ? sum(name) : undefined);
  return {
    unfinished: ofAll('unfinished'),
    awaiting: ofAll('awaiting'),
    connectionsInFlight: ofAll('connections_claimed'),
    connectionsHeld: ofAll('connections_held'),
    inFlight: payer === undefined ? undefined : sum('in_flight'),
    unfinishedBytes: sum('unfinished_bytes'),
    finished: sum('finished'),
    finishedBytes: sum('finished_bytes'),
  };
}
