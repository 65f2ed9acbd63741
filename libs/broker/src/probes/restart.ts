/** What survives a restart of the broker, which the operator makes in the middle of the probe. */
import { pause } from '@app/platform';
import type { ProbeBroker } from './probe-broker.js';
import type { ProbeClient } from './probe-client.js';
import { ok, probe, weaker, type Finding, type Measured } from './probe.js';

/** How long the operator has, and the broker after that. */
export const RESTART_LIMIT_MS = 600_000;
const RETRY_MS = 500;
const EXPIRY_SECONDS = 1800;
const MESSAGES = 10;
const QUIET_MS = 1000;

export interface Restart extends Measured {
  session: boolean;
  queued: number;
  queued_before: number;
  shared_subscription: boolean;
  retained: boolean;
}

export const restart = probe<Restart>({
  name: 'restart',
  needed: 'keeps sessions, queues, shared subscriptions and retained messages',
  limitMs: RESTART_LIMIT_MS,
  measure: async (broker) => {
    const retainedTopic = broker.retainedTopic('restart/retained');
    const lane = await broker.client({ keepsSession: true, sessionExpirySeconds: EXPIRY_SECONDS });
    await lane.subscribe([broker.topic('restart/queued/+')]);
    await lane.subscribe([broker.shared('restart', 'restart/shared/+')]);
    await lane.end();
    const device = await broker.client();
    const expirySeconds = EXPIRY_SECONDS;
    await device.publish({ topic: retainedTopic, payload: 'x', retain: true, expirySeconds });
    await device.publishAll(
      Array.from({ length: MESSAGES }, (_, i) => ({
        topic: broker.topic(`restart/queued/${i}`),
        payload: 'x',
        expirySeconds,
      })),
    );
    broker.notify('Restart the broker now; press Enter when it is back, if this does not go on by itself.');
    await untilRestarted(broker, device);
    return readBack(broker, lane.clientId, retainedTopic);
  },
  judge: judgeRestart,
});

/** Waits until the connection breaks or the operator presses Enter. */
async function untilRestarted(broker: ProbeBroker, device: ProbeClient): Promise<void> {
  const done = new AbortController();
  await Promise.race([device.closed, broker.untilOperator(done.signal)]);
  done.abort();
}

async function readBack(broker: ProbeBroker, clientId: string, retainedTopic: string): Promise<Restart> {
  const device = await reconnect(broker);
  const { client: lane, connack } = await broker.open({ clientId, keepsSession: true });
  await lane.untilQuiet(QUIET_MS, MESSAGES);
  const queued = lane.received.length;
  await device.publish({ topic: broker.topic('restart/shared/a'), payload: 'x' });
  const shared = await lane.until(() => lane.received.length > queued, QUIET_MS);
  const reader = await broker.client();
  await reader.subscribe([retainedTopic], { retained: true });
  const retained = await reader.until(() => reader.received.length > 0, QUIET_MS);
  return { session: connack.sessionPresent, queued, queued_before: MESSAGES, shared_subscription: shared, retained };
}

/** Tries until the broker is back; the time limit of the probe ends it. */
async function reconnect(broker: ProbeBroker): Promise<ProbeClient> {
  for (;;) {
    const client = await broker.client().catch(() => undefined);
    if (client !== undefined) return client;
    broker.stopIfEnded();
    await pause(RETRY_MS);
  }
}

export function judgeRestart(found: Restart): Finding {
  const { session, queued, queued_before: before, shared_subscription: shared, retained } = found;
  const kept = (name: string, is: boolean): string => `${name}: ${is ? 'kept' : 'lost'}`;
  const text = [
    kept('session', session),
    `queue: ${queued} of ${before}`,
    kept('shared subscription', shared),
    kept('retained', retained),
  ].join(', ');
  const effects = [
    ...(retained ? [] : ['after a restart clients are offline until they send their handshake again']),
    ...(session && queued === before ? [] : ['what waited for a lane is lost; a sweep follows']),
    ...(shared ? [] : ['what clients publish before the lane is back is lost; a sweep follows']),
  ];
  return effects.length === 0 ? ok(text, 'a restart loses nothing') : weaker(text, effects.join('; '));
}
