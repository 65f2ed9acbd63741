/** What many verdicts have in common. Pure. */

/** A fault in so many rules is likely to be one fault. */
const ALIKE = 3;
const ENDED = 'the program ended before a connection came';
/** Each scenario with a goodbye finds its faults: it is the rule to fix. */
const COMMON = 'goodbye';

/** @typedef {import('./trial.mjs').Verdict} Verdict */

/** @param {readonly Verdict[]} verdicts @returns {string | undefined} what was seen of a program that never connected */
export function endedAtOnce(verdicts) {
  const never = verdicts.every(({ outcome, seen }) => outcome === 'not-reached' && seen?.startsWith(ENDED));
  return never ? verdicts[0]?.seen : undefined;
}

/** The rule to fix first, if one fault was seen in many. @param {readonly Verdict[]} verdicts */
export function firstToFix(verdicts) {
  /** @type {Map<string, string[]>} */
  const rules = new Map();
  for (const { rule, outcome, seen = '' } of verdicts) {
    if (outcome === 'ok') continue;
    const fault = faultOf(seen);
    rules.set(fault, [...(rules.get(fault) ?? []), rule]);
  }
  const [most = []] = [...rules.values()].sort((a, b) => b.length - a.length);
  const rule = most.includes(COMMON) ? COMMON : most[0];
  return rule === undefined || most.length < ALIKE ? undefined : { rule, others: most.length - 1 };
}

/** Without the rule that a scenario ended with, and without what the program printed. @param {string} seen */
function faultOf(seen) {
  return seen.replace(/^the rule "[a-z-]+" is broken: /, '').replace(/; .*$/s, '');
}
