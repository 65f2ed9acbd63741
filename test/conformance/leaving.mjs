/** Scenarios about how a device leaves, and how long it stays away. */

/** @typedef {import('./trial.mjs').Trial} Trial */
/** @typedef {import('./broker.mjs').Session} Session */

/** Longer than the pause of a device that does not wait: 4 seconds at most. */
const WAIT_MS = 5000;
/** Timers of programs are not exact. */
const TOLERANCE = 0.95;
/** So long a device is watched that must stay away; one that does not wait comes back in 4 seconds at most. */
const AWAY_MS = 6000;
/** The clock of the device is so much ahead of that of the service. */
const CLOCK_DIFFERENCE_MS = 3_600_000;
/** The shortest pause after a refused handshake. */
const SHORTEST_PAUSE_MS = 1000;

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
    await trial.quiet();
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
 * The service asks for a disconnect, and the device has to be away for a time.
 * @param {Trial} trial @param {string} rule @param {{ ms: number, back: boolean, ask: (session: Session, handshakeId: string) => void }} options
 */
async function away(trial, rule, { ms, back, ask }) {
  const program = trial.start();
  const { session, handshakeId } = await trial.online();
  const from = performance.now();
  const before = trial.broker.attempts.length;
  ask(session, handshakeId);
  await trial.left(session, rule);
  if (back) {
    const { handshakeId: second } = await trial.online(rule);
    const waited = (trial.broker.attempts[before] ?? 0) - from;
    trial.judge(
      rule,
      waited >= TOLERANCE * ms,
      () => `it came back after ${Math.round(waited)} ms; it had to wait for ${ms} ms`,
    );
    trial.judge(rule, second !== handshakeId, () => 'the second handshake has the message_id of the first');
    return;
  }
  await trial.quiet(AWAY_MS);
  const waited = (trial.broker.attempts[before] ?? Infinity) - from;
  trial.judge(rule, waited === Infinity, () => `it came back after ${Math.round(waited)} ms`);
  program.signal('SIGTERM');
  await trial.expect('ends-while-away', 'the end of the program', (signal) => untilEnded(program, signal));
  trial.judge('ends-while-away', true, () => '');
}

/** @param {(sent: number) => string} after @param {{ rule: string, ms: number, back: boolean }} options */
function forced(after, { rule, ms, back }) {
  return (/** @type {Trial} */ trial) => {
    const ask = (/** @type {Session} */ session) => {
      const at = Date.now() - CLOCK_DIFFERENCE_MS;
      const members = { sent: new Date(at).toISOString(), payload: { reconnect_after: after(at) } };
      session.publish(trial.outTopic, JSON.stringify(trial.envelope('force-disconnect', members)));
    };
    return away(trial, rule, { ms, back, ask });
  };
}

/** @param {Record<string, string>} more @param {{ rule: string, ms: number, back: boolean }} options */
function refused(more, { rule, ms, back }) {
  return (/** @type {Trial} */ trial) => {
    const ask = (/** @type {Session} */ session, /** @type {string} */ handshakeId) => {
      const payload = { details: 'the conformance test refuses it', reason: 'reason-to-come', ...more };
      session.publish(
        trial.outTopic,
        JSON.stringify(trial.envelope('handshake-error', { in_response_to: handshakeId, payload })),
      );
    };
    return away(trial, rule, { ms, back, ask });
  };
}

export const forcedForDuration = forced(() => 'PT5S', { rule: 'force-disconnect', ms: WAIT_MS, back: true });
export const forcedUntilTime = forced((sent) => new Date(sent + WAIT_MS).toISOString(), {
  rule: 'force-disconnect-time',
  ms: WAIT_MS,
  back: true,
});
export const forcedForWeeks = forced(() => 'P2W', { rule: 'force-disconnect-long', ms: Infinity, back: false });
export const forcedForDays = forced(() => 'P1DT12H', { rule: 'force-disconnect-long', ms: Infinity, back: false });
export const forcedForEver = forced(() => 'never', { rule: 'force-disconnect-never', ms: Infinity, back: false });
export const refusedForDuration = refused(
  { retry_after: 'PT5S' },
  { rule: 'handshake-error', ms: WAIT_MS, back: true },
);
export const refusedForEver = refused(
  { retry_after: 'never' },
  { rule: 'handshake-error-never', ms: Infinity, back: false },
);
export const refusedWithoutTime = refused({}, { rule: 'handshake-error-pause', ms: SHORTEST_PAUSE_MS, back: true });
export const forcedUnreadably = forced(() => 'soon', {
  rule: 'force-disconnect-unreadable',
  ms: SHORTEST_PAUSE_MS,
  back: true,
});
