/** Scenarios about how a device leaves, and how long it stays away. */

/** @typedef {import('./trial.mjs').Trial} Trial */
/** @typedef {import('./broker.mjs').Session} Session */

/** Timers of programs are not exact. */
const TOLERANCE = 0.95;

/** The clock of the device is so much ahead of that of the service. */
const CLOCK_DIFFERENCE_MS = 3_600_000;

/** SIGTERM, with all acknowledgements held back. @param {Trial} trial */
export async function goodbye(trial) {
  const program = trial.start();
  const { session } = await trial.online();
  session.holding = true;
  const request = trial.request();
  trial.send(session, request);
  await trial.answerTo(session, request.message_id, 'goodbye');
  program.signal('SIGTERM');
  while (!session.ended) {
    // Each time for what has come: a program may publish one message after the PUBACK of another.
    await trial.quiet(trial.times.quiet);
    if (session.packets.at(-1)?.cmd === 'disconnect') break;
    if (session.release() === 0)
      await trial.expect('goodbye', 'a goodbye', (signal) => session.next(() => true, signal));
  }
  await trial.left(session, 'goodbye');
  await trial.expect('goodbye', 'the end of the program after its goodbye', (signal) => untilEnded(program, signal));
  trial.judge('goodbye', true, () => '');
}

/** @param {import('./program.mjs').Program} program @param {AbortSignal} signal */
async function untilEnded(program, signal) {
  await Promise.race([
    program.ended,
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
  ]);
}

/**
 * The service asks for a disconnect. The device has to be away for a time of `TIMES`, and come back; without a time it must stay away.
 * @typedef {{ rule: string, time?: 'wait' | 'shortestPause' }} Away
 * @param {Trial} trial @param {Away} options @param {(session: Session, handshakeId: string) => void} ask
 */
async function away(trial, { rule, time }, ask) {
  const program = trial.start();
  const { session, handshakeId } = await trial.online();
  const from = performance.now();
  const before = trial.broker.attempts.length;
  ask(session, handshakeId);
  await trial.left(session, rule);
  const waited = () => Math.round((trial.broker.attempts[before] ?? Infinity) - from);
  if (time !== undefined) {
    const { handshakeId: second } = await trial.online(rule);
    const ms = trial.times[time];
    trial.judge(
      rule,
      waited() >= TOLERANCE * ms,
      () => `it came back after ${waited()} ms; it had to wait for ${ms} ms`,
    );
    trial.judge(rule, second !== handshakeId, () => 'the second handshake has the message_id of the first');
    return;
  }
  await trial.quiet(trial.times.away, (signal) => trial.broker.untilAttempts(before + 1, signal));
  trial.judge(rule, waited() === Infinity, () => `it came back after ${waited()} ms`);
  program.signal('SIGTERM');
  await trial.expect('ends-while-away', 'the end of the program', (signal) => untilEnded(program, signal));
  trial.judge('ends-while-away', true, () => '');
}

/** @param {(waitMs: number, sent: number) => string} after @param {Away} options */
function forced(after, options) {
  return (/** @type {Trial} */ trial) =>
    away(trial, options, (session) => {
      const at = Date.now() - CLOCK_DIFFERENCE_MS;
      const members = { sent: new Date(at).toISOString(), payload: { reconnect_after: after(trial.times.wait, at) } };
      session.publish(trial.outTopic, JSON.stringify(trial.envelope('force-disconnect', members)));
    });
}

/** @param {(waitMs: number) => object} more @param {Away} options */
function refused(more, options) {
  return (/** @type {Trial} */ trial) =>
    away(trial, options, (session, handshakeId) => {
      const payload = {
        ...{ details: 'the conformance test refuses it', reason: 'reason-to-come' },
        ...more(trial.times.wait),
      };
      const refusal = trial.envelope('handshake-error', { in_response_to: handshakeId, payload });
      session.publish(trial.outTopic, JSON.stringify(refusal));
    });
}

/** @param {number} ms */
function durationOf(ms) {
  return `PT${ms / 1000}S`;
}

export const forcedForDuration = forced(durationOf, { rule: 'force-disconnect', time: 'wait' });
export const forcedUntilTime = forced((ms, sent) => new Date(sent + ms).toISOString(), {
  rule: 'force-disconnect-time',
  time: 'wait',
});
export const forcedForWeeks = forced(() => 'P2W', { rule: 'force-disconnect-long' });
export const forcedForDays = forced(() => 'P1DT12H', { rule: 'force-disconnect-long' });
export const forcedForEver = forced(() => 'never', { rule: 'force-disconnect-never' });
export const refusedForDuration = refused((ms) => ({ retry_after: durationOf(ms) }), {
  rule: 'handshake-error',
  time: 'wait',
});
export const refusedForEver = refused(() => ({ retry_after: 'never' }), { rule: 'handshake-error-never' });
export const refusedWithoutTime = refused(() => ({}), { rule: 'handshake-error-pause', time: 'shortestPause' });
export const forcedUnreadably = forced(() => 'soon', { rule: 'force-disconnect-unreadable', time: 'shortestPause' });
