/** What many verdicts have in common. Pure. */
import { RULES } from './rules.mjs';

/** So many rules that are not kept by one cause are worth a hint. */
const MANY = 3;
const NO_CONNECTION = /^(the program ended before a connection came|a connection did not come)/;

/** @typedef {import('./trial.mjs').Verdict} Verdict */

/** @param {readonly Verdict[]} verdicts @returns what was seen of a program that never connected, if it did not */
export function noConnection(verdicts) {
  const never = verdicts.every(({ outcome, seen = '' }) => outcome === 'not-reached' && NO_CONNECTION.test(seen));
  return never ? verdicts[0] : undefined;
}

/**
 * The same verdicts, with each text once: with the first broken rule that has it. The others refer to that one.
 * @param {readonly Verdict[]} verdicts
 */
export function onceEach(verdicts) {
  const isBroken = (/** @type {Verdict} */ { outcome }) => outcome === 'broken';
  /** The rules by what was seen and printed. @type {Map<string, string>} */
  const owners = new Map();
  for (const { rule, seen = '', printed = '' } of [...verdicts.filter(isBroken), ...verdicts])
    for (const text of [seen, printed].map(withoutId)) if (text !== '' && !owners.has(text)) owners.set(text, rule);
  return verdicts.map((verdict) => {
    const [first, second] = [verdict.seen, verdict.printed].map((text = '') => {
      const owner = owners.get(withoutId(text)) ?? verdict.rule;
      return owner === verdict.rule ? text : `the same as with ${owner}`;
    });
    return { ...verdict, seen: first, printed: second === first ? '' : second };
  });
}

/** Each scenario has a client id of its own. @param {string} text */
function withoutId(text) {
  return text.replaceAll(/conformance-[0-9a-f-]{36}/g, '');
}

/** The rule to fix first, if its fault is the cause of many verdicts: of several the one that a device comes to first. @param {readonly Verdict[]} verdicts */
export function firstToFix(verdicts) {
  for (const { id } of RULES) {
    const its = verdicts.filter(({ rule, outcome, cause = rule }) => outcome !== 'ok' && cause === id);
    if (its.length < MANY) continue;
    // The cause may be seen after some messages only: its own rule is kept then.
    const isKept = verdicts.some(({ rule, outcome }) => rule === id && outcome === 'ok');
    const rule = isKept ? its.find(({ outcome }) => outcome === 'broken')?.rule : id;
    if (rule !== undefined) return { rule, others: its.filter((one) => one.rule !== rule).length };
  }
  return undefined;
}
