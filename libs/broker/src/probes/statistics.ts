/** Whether the broker publishes its uptime and how many messages it dropped. */
import { DROPPED, UPTIME } from '../broker-watch.js';
import { ok, probe, weaker, type Finding, type Measured } from './probe.js';

/** Both are retained; a broker without a retained one sends it at its next report, which is not awaited. */
const ARRIVE_MS = 2000;

export interface Statistics extends Measured {
  uptime: boolean;
  dropped: boolean;
}

export const statistics = probe<Statistics>({
  name: 'statistics in $SYS',
  needed: 'uptime and dropped messages, as Mosquitto names them',
  limitMs: 5000,
  measure: async (broker) => {
    const reader = await broker.client();
    for (const topic of [UPTIME, DROPPED]) await reader.subscribe(topic, { qos: 0, retained: true });
    const has = (topic: string): boolean => reader.received.some((message) => message.topic === topic);
    await reader.until(() => has(UPTIME) && has(DROPPED), ARRIVE_MS);
    return { uptime: has(UPTIME), dropped: has(DROPPED) };
  },
  judge: judgeStatistics,
});

/** Mosquitto publishes its number of dropped messages after the first drop only, so its absence proves nothing there. */
export function judgeStatistics({ uptime, dropped }: Statistics): Finding {
  const text = `uptime: ${uptime ? 'yes' : 'no, or this user may not read it'}, dropped messages: ${dropped ? 'yes' : 'not yet or never'}`;
  if (!uptime)
    return weaker(text, '`RECONFIRM_WINDOW` does nothing; dropped messages wait for the next scheduled sweep');
  return ok(text, dropped ? 'restarts and drops are noticed' : 'restarts are noticed; drops if they are published');
}
