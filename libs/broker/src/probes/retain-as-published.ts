/** Whether a shared subscription keeps the retain flag, also of an empty payload and for a client id with dots. */
import type { Essential } from '../check/essentials.js';
import { measureSharedRetain, type Level } from '../check/shared-retain.js';
import { lacking, ok, probe, type Finding, type Probe } from './probe.js';

export const retainKept = retainProbe(
  'retain flag when shared',
  'level',
  'kept on shared subscriptions, also if the payload is empty',
);
export const retainKeptWithDots = retainProbe(
  'client id with dots',
  'level.with.dots',
  'delivered below + as any other',
);

function retainProbe(name: string, level: Level, needed: string): Probe {
  return probe({
    name,
    needed,
    isEssential: true,
    limitMs: 10_000,
    measure: async (broker) => {
      const [found] = await measureSharedRetain(await broker.client(), broker.topics, [level]);
      return { set: null, cleared: null, lacks: 'shared-subscriptions' as const, ...found };
    },
    judge: judgeRetain,
  });
}

export function judgeRetain({ lacks }: { lacks: Essential | null }): Finding {
  return lacks === null ? ok('kept, also if empty', 'handshakes and their removal are known as such') : lacking(lacks);
}
