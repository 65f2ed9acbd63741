/** Where the time of calls goes: when which process read or wrote something of them, from what `hop-times.mjs` has noted. */
import { readFileSync } from 'node:fs';
import { round } from './measure.mjs';
import { median } from './turns.mjs';

/** A hop that fewer calls have is not part of the way. */
const LEAST_SHARE = 0.5;

/**
 * @typedef {{ n: number, id: string | undefined, from: number, to: number }} TimedCall times of `Date.now`, with fractions
 * @typedef {Record<string, { 'ms after the POST': number, 'ms of this step': number }>} HopTable
 */

/**
 * Medians over the calls, in the order of the way. What happens after the response does not count.
 * @param {string} file @param {TimedCall[]} calls @param {Record<number, string>} servers their names by port
 * @returns {HopTable}
 */
export function hopTable(file, calls, servers) {
  const numbers = new Map(calls.flatMap(({ n, id }) => (id === undefined ? [] : [[id, n]])));
  const byNumber = new Map(calls.map((call) => [call.n, { call, seen: new Map([['POST', call.from]]) }]));
  for (const line of readFileSync(file, 'utf8').trimEnd().split('\n')) {
    const [time = '', script, way, port, ...ids] = line.split(' ');
    const peer = servers[Number(port)] ?? 'its caller';
    const of = new Set(ids.map((id) => (id.startsWith('"n":') ? Number(id.slice(4)) : numbers.get(id))));
    for (const n of of) {
      const one = byNumber.get(Number(n));
      const at = Number(time);
      if (one === undefined || at < one.call.from || at > one.call.to) continue;
      const name = way === 'in' ? `${script} reads from ${peer}` : `${script} writes to ${peer}`;
      let i = 1;
      while (one.seen.has(`${name}, ${i}`)) i++;
      one.seen.set(`${name}, ${i}`, at);
    }
  }
  /** @type {Map<string, number[]>} */
  const after = new Map();
  for (const { call, seen } of byNumber.values()) {
    seen.set('the caller has the response', call.to);
    for (const [name, at] of seen) {
      const times = after.get(name);
      if (times === undefined) after.set(name, [at - call.from]);
      else times.push(at - call.from);
    }
  }
  const hops = [...after]
    .filter(([, times]) => times.length >= LEAST_SHARE * calls.length)
    .map(([name, times]) => ({ name, ms: median(times) }))
    .sort((a, b) => a.ms - b.ms);
  return Object.fromEntries(
    hops.map(({ name, ms }, i) => [
      name,
      { 'ms after the POST': round(ms), 'ms of this step': round(ms - (hops[i - 1]?.ms ?? 0)) },
    ]),
  );
}
