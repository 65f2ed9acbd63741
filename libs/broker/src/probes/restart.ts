/** What survives a restart of the broker, which the operator makes in the middle of the probe. */
import { pause } from '@app/platform';
import type { CheckConnection } from '../check/check-connection.js';
import type { ProbeBroker } from './probe-broker.js';
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
    await lane.subscribeAll([broker.topics.at('restart/queued/+')]);
    await lane.subscribeAll([broker.topics.shared('restart/shared/+')]);
    await lane.leave();
    const device = await broker.client();
    const expirySeconds = EXPIRY_SECONDS;
    await device.publish({ topic: retainedTopic, payload: 'x', retain: true, expirySeconds });
    await device.publishAll(
      Array.from({ length: MESSAGES }, (_, i) => ({
        topic: broker.topics.at(`restart/queued/${i}`),
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
async function untilRestarted(broker: ProbeBroker, device: CheckConnection): Promise<void> {
  const done = new AbortController();
  await Promise.race([device.closed, broker.untilOperator(done.signal)]);
  done.abort();
}

async function readBack(broker: ProbeBroker, clientId: string, retainedTopic: string): Promise<Restart> {
  const device = await reconnect(broker);
  const lane = await broker.client({ clientId, keepsSession: true });
  await lane.untilQuiet(QUIET_MS, MESSAGES);
  const queued = lane.received.length;
  await device.publish({ topic: broker.topics.at('restart/shared/a'), payload: 'x' });
  const shared = await lane.until(() => lane.received.length > queued, QUIET_MS);
  const reader = await broker.client();
  await reader.subscribeAll([retainedTopic], { retained: true });
  const retained = await reader.until(() => reader.received.length > 0, QUIET_MS);
  return {
    session: lane.sessionPresent,
    queued,
    queued_before: MESSAGES,
    shared_subscription: shared,
    retained,
  };
}

/** Tries until the broker is back; the time limit of the probe ends it. */
async function reconnect(broker: ProbeBroker): Promise<CheckConnection> {
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
