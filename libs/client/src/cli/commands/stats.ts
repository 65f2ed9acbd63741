/** The command `stats`. */
import type { LastHour, WaitingConnections } from '../../generated/types.gen.js';
import type { Context } from '../context.js';
import { millisecondsText } from '../durations.js';
import { EXIT } from '../failures.js';

export async function stats({ connector, out }: Context): Promise<number> {
  const figures = await connector.getStats();
  if (out.structured) {
    await out.object(figures);
    return EXIT.done;
  }
  const { connections, messages, waiting, last_hour: hour } = figures;
  const rows: [string, unknown][] = [
    ['online', connections.online.total],
    ['offline', connections.offline.total],
    ...Object.entries(messages ?? {}).map(([name, value]): [string, unknown] => [`messages ${name}`, value]),
    ...(waiting === null ? [] : ofWaiting(waiting)),
    ...(hour === null ? [] : ofLastHour(hour)),
  ];
  await out.table(
    [
      { head: 'FIGURE', whole: true },
      { head: 'VALUE', whole: true },
    ],
    rows.filter(([, value]) => value !== null).map(([name, value]) => [name.replaceAll('_', ' '), String(value)]),
  );
  return EXIT.done;
}

function ofWaiting(waiting: WaitingConnections): [string, unknown][] {
  return [
    ['connections waiting for a dispatcher', waiting.connections_ready],
    ['longest wait for a dispatcher', millisecondsText(waiting.oldest_ready_ms)],
    ['connections with a message being published', waiting.connections_in_flight],
    ['connections with held messages', waiting.connections_held],
  ];
}

function ofLastHour({ messages, latency }: LastHour): [string, unknown][] {
  const sums = Object.entries(messages).map(([status, counts]): [string, unknown] => [
    `last hour: ${status}`,
    counts.reduce((sum, count) => sum + count, 0),
  ]);
  return [
    ...sums,
    ['last hour: p50 ms to the broker', latency.p50_ms],
    ['last hour: p99 ms to the broker', latency.p99_ms],
  ];
}
