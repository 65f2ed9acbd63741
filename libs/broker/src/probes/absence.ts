/** Whether a read of retained messages proves that a topic has none. */
import { measureAbsence } from '../check/absence.js';
import type { CheckConnection } from '../check/check-connection.js';
import { filtersWithin } from '../check/packet-size.js';
import { RETAINED_LAG_MS } from '../retained-reader.js';
import { ok, probe, weaker, type Finding, type Measured } from './probe.js';

/** At most. */
const ROUNDS = 20;
const TOPICS = 200;
const SENTINEL_MS = 2000;
/** How long messages are awaited after the sentinel. */
const LATE_MS = 500;
const HANDSHAKES = 50;
const PROVES_NOTHING =
  'an absence proves nothing: if the check of an ingester finds the same, sweeps and verifications take no client offline';

export interface SentinelOrder extends Measured {
  /** How many are read at once. */
  topics: number;
  rounds: number;
  /** Messages that arrived after the sentinel, or not at all. */
  late_in_one_subscribe: number;
  late_in_two_subscribes: number;
  rounds_without_sentinel: number;
}

export const sentinelOrder = probe<SentinelOrder>({
  name: 'order of retained reads',
  needed: 'a topic read before the sentinel is complete when the sentinel arrives',
  isEssential: true,
  limitMs: 20_000,
  measure: async (broker) => {
    const writer = await broker.client();
    const sentinel = broker.retainedTopic('order-sentinel');
    const all = Array.from({ length: TOPICS }, (_, i) => broker.topics.at(`order/${i}`));
    // All topics and the sentinel are read with one SUBSCRIBE.
    const [, ...readTogether] = filtersWithin([sentinel, ...all], writer.granted.maximumPacketSize);
    const topics = readTogether.map((_, i) => broker.retainedTopic(`order/${i}`));
    await writer.publishAll([...topics, sentinel].map((topic) => ({ topic, payload: 'x', retain: true })));
    const reader = await broker.client();
    const counts = { one: 0, two: 0, none: 0 };
    let rounds = 0;
    // One late message decides, and a broker that sends them late takes its time for each read.
    while (rounds < ROUNDS && counts.two === 0) {
      rounds++;
      for (const way of ['one', 'two'] as const) {
        const late = await readLate(reader, topics, sentinel, way === 'one');
        if (late === undefined) counts.none++;
        else counts[way] += late;
      }
    }
    return {
      topics: topics.length,
      rounds,
      late_in_one_subscribe: counts.one,
      late_in_two_subscribes: counts.two,
      rounds_without_sentinel: counts.none,
    };
  },
  judge: judgeSentinelOrder,
});

/** @returns how many messages came after the sentinel; undefined if it did not arrive */
async function readLate(
  reader: CheckConnection,
  topics: readonly string[],
  sentinel: string,
  atOnce: boolean,
): Promise<number | undefined> {
  reader.received.length = 0;
  const options = { qos: 0, retained: true, asPublished: false } as const;
  for (const filters of atOnce ? [[...topics, sentinel]] : [topics, [sentinel]])
    await reader.subscribeAll(filters, options);
  const place = (): number => reader.received.findIndex(({ topic }) => topic === sentinel);
  await reader.until(() => place() !== -1, SENTINEL_MS);
  const before = place();
  if (before !== -1)
    await reader.until(() => reader.received.length > topics.length, before === topics.length ? 0 : LATE_MS);
  await reader.unsubscribe([...topics, sentinel]);
  return before === -1 ? undefined : topics.length - before;
}

export function judgeSentinelOrder(found: SentinelOrder): Finding {
  const {
    topics,
    rounds,
    late_in_one_subscribe: one,
    late_in_two_subscribes: two,
    rounds_without_sentinel: none,
  } = found;
  const reads = rounds * topics;
  const text = `${two} of ${reads} late in two SUBSCRIBEs, ${one} in one`;
  if (two > 0) return weaker(text, PROVES_NOTHING);
  if (none > 0) return weaker(`${text}; the sentinel was lost in ${none} reads`, 'such a read fails and is made again');
  return ok(text, one > 0 ? 'absence is proved, because the service sends two SUBSCRIBEs' : 'absence is proved');
}

export interface RetainedReadable extends Measured {
  handshakes: number;
  missed_at_once: number;
  missed_at_second_read: number;
}

export const retainedReadable = probe<RetainedReadable>({
  name: 'retained after PUBACK',
  needed: `readable at once, or ${RETAINED_LAG_MS} ms later`,
  isEssential: true,
  limitMs: 8000,
  measure: async (broker) => {
    const groups = Array.from({ length: HANDSHAKES }, (_, i) => [broker.retainedTopic(`readable/${i}`)]);
    const reader = broker.reader('readable-sentinel');
    try {
      const { atOnce, atSecondRead } = await measureAbsence(await broker.client(), reader, groups);
      return { handshakes: HANDSHAKES, missed_at_once: atOnce, missed_at_second_read: atSecondRead };
    } finally {
      await reader.close();
    }
  },
  judge: judgeRetainedReadable,
});

export function judgeRetainedReadable(found: RetainedReadable): Finding {
  const { handshakes, missed_at_once: once, missed_at_second_read: twice } = found;
  const text = `${once} of ${handshakes} missed at once, ${twice} after ${RETAINED_LAG_MS} ms`;
  if (twice > 0) return weaker(text, PROVES_NOTHING);
  return ok(text, once > 0 ? 'the second read finds them: nobody goes offline' : 'a read sees the latest handshake');
}
