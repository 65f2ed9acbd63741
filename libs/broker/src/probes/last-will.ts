/** Whether the broker publishes the last will of a client. */
import { ok, probe, wrong, type Finding, type Measured } from './probe.js';
import type { ProbeBroker } from './probe-broker.js';

const BREAK_MS = 4000;
const TAKE_OVER_MS = 800;

export interface LastWill extends Measured {
  after_break: boolean;
  at_take_over_clean: boolean;
  at_take_over_persistent: boolean;
}

export const lastWill = probe<LastWill>({
  name: 'last will',
  needed: 'published when the connection of a client breaks',
  isEssential: true,
  limitMs: 9000,
  measure: async (broker) => ({
    after_break: await isPublished(broker, 'break', false, BREAK_MS),
    at_take_over_clean: await isPublished(broker, 'clean', false, TAKE_OVER_MS),
    at_take_over_persistent: await isPublished(broker, 'persistent', true, TAKE_OVER_MS),
  }),
  judge: judgeLastWill,
});

async function isPublished(
  broker: ProbeBroker,
  name: string,
  keepsSession: boolean,
  limitMs: number,
): Promise<boolean> {
  const topic = broker.topics.at(`will/${name}`);
  const witness = await broker.client();
  await witness.subscribeAll([topic]);
  const device = await broker.client({ will: topic, keepsSession });
  if (name === 'break') await device.breakOff();
  else await broker.client({ clientId: device.clientId, keepsSession });
  return witness.until(() => witness.received.length > 0, limitMs);
}

export function judgeLastWill(found: LastWill): Finding {
  const { after_break: afterBreak, at_take_over_clean: clean, at_take_over_persistent: persistent } = found;
  const text = `after a break: ${yes(afterBreak)}; at a take-over, clean: ${yes(clean)}, persistent: ${yes(persistent)}`;
  if (!afterBreak) return wrong(text, 'a client that breaks off stays online');
  return ok(text, 'a client that breaks off goes offline; one that takes over stays online by its new handshake');
}

function yes(is: boolean): string {
  return is ? 'yes' : 'no';
}
