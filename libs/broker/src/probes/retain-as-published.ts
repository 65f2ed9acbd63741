/** Whether a shared subscription keeps the retain flag, also of an empty payload and for a client id with dots. */
import { ok, probe, wrong, type Finding, type Measured, type Probe } from './probe.js';

const ARRIVES_MS = 2000;

export interface Retain extends Measured {
  /** Null: the message did not arrive. */
  set: boolean | null;
  cleared: boolean | null;
}

export const retainKept = retainProbe(
  'retain flag when shared',
  'device-1',
  'kept on shared subscriptions, also if the payload is empty',
);
export const retainKeptWithDots = retainProbe(
  'client id with dots',
  'host.example.com',
  'delivered below + as any other',
);

function retainProbe(name: string, clientId: string, needed: string): Probe {
  return probe<Retain>({
    name,
    needed,
    isEssential: true,
    limitMs: 6000,
    measure: async (broker) => {
      const group = clientId.replaceAll('.', '-');
      const topic = broker.retainedTopic(`${group}/in/${clientId}`);
      const member = await broker.client();
      await member.subscribe([broker.shared(group, `${group}/in/+`)]);
      const device = await broker.client();
      const kept: (boolean | null)[] = [];
      for (const payload of ['handshake', '']) {
        await device.publish({ topic, payload, retain: true });
        await member.until(() => member.received.length > kept.length, ARRIVES_MS);
        kept.push(member.received[kept.length]?.retain ?? null);
      }
      const [set = null, cleared = null] = kept;
      return { set, cleared };
    },
    judge: judgeRetain,
  });
}

export function judgeRetain({ set, cleared }: Retain): Finding {
  if (set === null) return wrong('not delivered to the shared subscription', 'clients never come online');
  if (!set)
    return wrong(
      'the retain flag is removed',
      'every handshake would be refused as not retained: the service does not start',
    );
  if (cleared === null)
    return wrong(
      'an empty retained message is not forwarded',
      'a removed handshake would be noticed by the next sweep only',
    );
  if (!cleared)
    return wrong('the retain flag of an empty message is removed', 'a removed handshake would not be known as one');
  return ok('kept, also if empty', 'handshakes and their removal are known as such');
}
