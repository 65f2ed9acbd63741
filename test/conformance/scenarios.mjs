/** The scenarios, each with the rules that it checks, the longest first. They run at the same time, each with a program of its own. */
import {
  backOff,
  firstConnection,
  handshakeNotTaken,
  noBroker,
  reconnects,
  subscriptionRefused,
} from './connecting.mjs';
import {
  forcedForDays,
  forcedForDuration,
  forcedForEver,
  forcedForWeeks,
  forcedUnreadably,
  forcedUntilTime,
  goodbye,
  refusedForDuration,
  refusedForEver,
  refusedWithoutTime,
} from './leaving.mjs';
import {
  answers,
  expired,
  large,
  notReceived,
  notTaken,
  restart,
  unacknowledged,
  unacknowledgedAfterRestart,
} from './messages.mjs';
import { inTurn } from './in-turn.mjs';
import { Trial, Unreachable, withMore } from './trial.mjs';

/**
 * @typedef {import('./trial.mjs').Verdict} Verdict
 * @typedef {{ rules: string[], play: (trial: Trial) => Promise<void> }} Scenario
 */

/** Checked after each scenario. */
const ALWAYS = 'envelope';

/** @type {readonly Scenario[]} */
const SCENARIOS = [
  { rules: ['back-off', 'jitter'], play: backOff },
  { rules: ['force-disconnect-long', 'ends-while-away'], play: forcedForWeeks },
  { rules: ['force-disconnect-long', 'ends-while-away'], play: forcedForDays },
  { rules: ['force-disconnect-never', 'ends-while-away'], play: forcedForEver },
  { rules: ['handshake-error-never', 'ends-while-away'], play: refusedForEver },
  { rules: ['force-disconnect'], play: forcedForDuration },
  { rules: ['force-disconnect-time'], play: forcedUntilTime },
  { rules: ['handshake-error'], play: refusedForDuration },
  { rules: ['handshake-error-pause'], play: refusedWithoutTime },
  { rules: ['refused-connect', 'reconnect'], play: reconnects },
  { rules: ['no-broker'], play: noBroker },
  { rules: ['subscription-refused'], play: subscriptionRefused },
  { rules: ['force-disconnect-unreadable'], play: forcedUnreadably },
  { rules: ['puback-error-handshake'], play: handshakeNotTaken },
  { rules: ['puback-error'], play: notTaken },
  { rules: ['puback-no-subscribers'], play: notReceived },
  { rules: ['unacknowledged-answer'], play: unacknowledged },
  { rules: ['unacknowledged-answer-after-restart'], play: unacknowledgedAfterRestart },
  { rules: ['repeat-after-restart'], play: restart },
  { rules: ['repeat-expired'], play: expired },
  {
    rules: ['answer', 'puback', 'repeat', 'message-error', 'ignores', 'late-handshake-error'],
    play: answers,
  },
  { rules: ['answer-size'], play: large },
  { rules: ['goodbye'], play: goodbye },
  {
    rules: ['client-id', 'clean-session', 'keep-alive', 'last-will', 'subscribe-first', 'handshake'],
    play: firstConnection,
  },
];

/**
 * Plays the scenarios of the rules in `played`, which are all scenarios that check these rules if it is not given.
 * @param {import('./trial.mjs').Settings} settings @param {readonly string[]} rules
 * @returns {Promise<Verdict[]>} one for each rule, in their order
 */
export async function judge(settings, rules, played = rules) {
  const wanted = SCENARIOS.filter((scenario) => [...scenario.rules, ALWAYS].some((rule) => played.includes(rule)));
  const verdicts = (await inTurn(wanted, settings.atOnce, (scenario) => play(settings, scenario))).flat();
  return rules.map((rule) => sumOf(rule, verdicts));
}

/** @param {import('./trial.mjs').Settings} settings @param {Scenario} scenario */
async function play(settings, scenario) {
  const trial = await Trial.create(settings);
  /** @type {Unreachable | undefined} */
  let end;
  try {
    await trial.broker.listen();
    await scenario.play(trial);
  } catch (error) {
    if (!(error instanceof Unreachable)) throw error;
    end = error;
  } finally {
    await trial.close();
  }
  trial.judgePublished();
  const missing = [...scenario.rules, ALWAYS].filter(
    (rule) => !trial.verdicts.some((verdict) => verdict.rule === rule),
  );
  return [
    ...trial.verdicts,
    ...missing.map((rule) =>
      withMore({ rule, outcome: 'not-reached', seen: end?.message ?? '' }, end?.rule, end?.printed),
    ),
  ];
}

/** A rule that is broken once is broken; it is ok if it was checked. @param {string} rule @param {Verdict[]} verdicts @returns {Verdict} */
function sumOf(rule, verdicts) {
  const its = verdicts.filter((verdict) => verdict.rule === rule);
  const found = ['broken', 'not-reached', 'ok'].map((outcome) => its.find((verdict) => verdict.outcome === outcome));
  const worst = found.find((verdict) => verdict !== undefined);
  if (worst === undefined) throw new Error(`no scenario checks the rule ${rule}`);
  return worst;
}
