/** Figures as the REST API shows them. */
import { MESSAGE_STATUSES, SENDING_TIMES_MS, percentile, type MessageStatus, type Summary } from '@app/registry';
import { z } from 'zod';
import { SummaryBody, toSummaryBody } from '../http/summary.dto.js';
import { timeOf } from '../http/values.dto.js';
import type { Figures, WholeFigures } from './stats.js';

const MINUTE_MS = 60_000;

const count = z.int().min(0);
const byMinute = <T extends z.ZodType>(item: T): z.ZodArray<T> => z.array(item);

const Messages = z
  .object({
    unfinished: count
      .nullable()
      .meta({ description: 'Those that are `queued`, `held` or `in_flight`. null for an account.' }),
    awaiting_answer: count
      .nullable()
      .meta({ description: 'Those that are `sent` and await the answer of their client. null for an account.' }),
    in_flight: count.nullable().meta({ description: 'Those that are `in_flight`, for an account; otherwise null.' }),
    unfinished_bytes: count.meta({
      description: 'What unfinished messages and those that await an answer take of the budgets.',
    }),
    finished: count.meta({ description: 'Those that have a last status and are still kept.' }),
    finished_bytes: count.meta({ description: 'What they take of the budgets.' }),
  })
  .meta({ id: 'MessageTotals', description: 'How many messages there are, and what they take.' });

const Waiting = z
  .object({
    connections_ready: count.meta({
      description: 'Connections with a message that could be published now, and that no dispatcher has claimed.',
    }),
    oldest_ready_ms: z.number().min(0).meta({ description: 'For how long the first of them has been waiting.' }),
    connections_in_flight: count.meta({ description: 'Connections with a message that is being published.' }),
    connections_held: count.meta({ description: 'Connections with held messages.' }),
  })
  .meta({ id: 'WaitingConnections', description: 'What waits to be published.' });

const percentileOf = (what: string): z.ZodNullable<z.ZodNumber> =>
  z
    .number()
    .nullable()
    .meta({ description: `${what} null: no message was sent, or it took more than a minute.` });

const Latency = {
  p50_ms: percentileOf('Half of the messages took at most that from their acceptance to the broker.'),
  p99_ms: percentileOf('99 of 100 messages took at most that.'),
};

const MinuteLatency = z
  .object(Latency)
  .meta({ id: 'MinuteLatency', description: 'How long messages took in one minute.' });

const HourLatency = z
  .object({
    ...Latency,
    sent: count.meta({ description: 'The number of messages that these times are about.' }),
    minutes: byMinute(MinuteLatency).meta({ description: 'The same, by minute.' }),
  })
  .meta({ id: 'HourLatency', description: 'How long messages took from their acceptance to the broker.' });

const MessageCounts = z
  .object(
    Object.fromEntries(
      MESSAGE_STATUSES.map((status) => [
        status,
        byMinute(count).meta({ description: `How many messages became \`${status}\`, by minute.` }),
      ]),
    ) as Record<MessageStatus, z.ZodArray<typeof count>>,
  )
  .meta({ id: 'MessageCounts', description: 'How many messages reached each status, by minute.' });

const LastHour = z
  .object({
    from: timeOf('The beginning of the first of 60 minutes; the last one is not over yet.'),
    online: byMinute(count.nullable()).meta({
      description: 'Connections that were online, by minute, the last one now; null if nobody counted.',
    }),
    offline: byMinute(count.nullable()).meta({
      description: 'Connections that were offline, by minute, the last one now; null if nobody counted.',
    }),
    messages: MessageCounts,
    latency: HourLatency,
  })
  .meta({ id: 'LastHour', description: 'Rates and latencies of the last hour.' });

const NOT_FOR_ALL = 'null for a caller that is bound to an account, or without the scope `messages:read`.';

export const StatsBody = z
  .object({
    at: timeOf('When it was counted.'),
    connections: SummaryBody,
    messages: Messages.nullable().meta({ description: 'null for a caller without the scope `messages:read`.' }),
    waiting: Waiting.nullable().meta({ description: NOT_FOR_ALL }),
    last_hour: LastHour.nullable().meta({ description: NOT_FOR_ALL }),
  })
  .meta({ id: 'Stats', description: 'Figures of connections and messages.' });
export type StatsBody = z.infer<typeof StatsBody>;

export function toStatsBody({ at, connections, messages, whole }: Figures): StatsBody {
  return {
    at: new Date(at).toISOString(),
    connections: toSummaryBody(connections),
    messages: {
      unfinished: messages.unfinished ?? null,
      awaiting_answer: messages.awaiting ?? null,
      in_flight: messages.inFlight ?? null,
      unfinished_bytes: messages.unfinishedBytes,
      finished: messages.finished,
      finished_bytes: messages.finishedBytes,
    },
    waiting:
      whole === undefined
        ? null
        : {
            connections_ready: whole.readyConnections,
            oldest_ready_ms: whole.oldestReadyMs,
            connections_in_flight: messages.connectionsInFlight ?? 0,
            connections_held: messages.connectionsHeld ?? 0,
          },
    last_hour: whole === undefined ? null : toLastHour(at, connections, whole),
  };
}

/** What a caller without the scope `messages:read` gets. */
export function withoutMessages({ at, connections }: StatsBody): StatsBody {
  return { at, connections, messages: null, waiting: null, last_hour: null };
}

function toLastHour(
  at: number,
  now: Summary,
  { connectionCounts, messageCounts, sendingTimes }: WholeFigures,
): z.infer<typeof LastHour> {
  const minutes = sendingTimes.length;
  const totals = SENDING_TIMES_MS.map((_, i) => sendingTimes.reduce((sum, times) => sum + (times[i] ?? 0), 0));
  const online = (state: keyof Summary): (number | null)[] =>
    connectionCounts
      .with(-1, now)
      .map((counted) => (counted === undefined ? null : counted[state].host + counted[state].proxy));
  return {
    from: new Date((Math.floor(at / MINUTE_MS) - minutes + 1) * MINUTE_MS).toISOString(),
    online: online('online'),
    offline: online('offline'),
    messages: Object.fromEntries(
      MESSAGE_STATUSES.map((status) => [status, messageCounts.map((counts) => counts[status])]),
    ) as Record<MessageStatus, number[]>,
    latency: {
      ...latencyOf(totals),
      sent: totals.reduce((sum, one) => sum + one, 0),
      minutes: sendingTimes.map(latencyOf),
    },
  };
}

function latencyOf(times: readonly number[]): { p50_ms: number | null; p99_ms: number | null } {
  const of = (share: number): number | null => {
    const ms = percentile(SENDING_TIMES_MS, times, share);
    return ms === undefined || ms === Infinity ? null : ms;
  };
  return { p50_ms: of(0.5), p99_ms: of(0.99) };
}
