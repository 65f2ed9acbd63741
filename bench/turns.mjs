/**
 * Two ways, measured in turns. A pair of runs gives a ratio; pairs are repeated until the ratios agree. The machine's noise
 * is the same for both ways of a pair, so a ratio says more than either figure.
 */
import { percentile } from './measure.mjs';

const PAIRS = { least: 3, most: 9 };
/** The middle half of the ratios must lie this close together, as a share of their median. */
const STEADY = 0.1;

/**
 * @template Ours, Bare
 * @param {string} name @param {() => Promise<Ours>} ours @param {() => Promise<Bare>} bare
 * @param {(ours: Ours, bare: Bare) => number} ratioOf
 */
export async function inTurns(name, ours, bare, ratioOf) {
  // Code that is not compiled yet costs several times as much.
  await ours();
  await bare();
  /** @type {{ ours: Ours, bare: Bare, ratio: number }[]} */
  const pairs = [];
  while (
    pairs.length < PAIRS.most &&
    !(pairs.length >= PAIRS.least && spread(pairs.map(({ ratio }) => ratio)) < STEADY)
  ) {
    // Neither way is always the first one after a pause.
    const first = pairs.length % 2 === 0 ? await ours() : undefined;
    const beside = await bare();
    const one = first ?? (await ours());
    pairs.push({ ours: one, bare: beside, ratio: ratioOf(one, beside) });
  }
  const ratios = pairs.map(({ ratio }) => ratio);
  const share = spread(ratios);
  console.log(
    `${name}: ${median(ratios).toFixed(2)}, ${pairs.length} pairs, spread ${Math.round(share * 100)} %` +
      (share < STEADY ? '' : `, NOT below ${STEADY * 100} %`),
  );
  return {
    pairs,
    ratio: median(ratios),
    /** The median over the pairs of a figure of them. */
    medianOf: (/** @type {(pair: { ours: Ours, bare: Bare }) => number} */ figure) => median(pairs.map(figure)),
  };
}

/** @param {number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? NaN) + (sorted[Math.floor(middle)] ?? NaN)) / 2;
}

/** @param {number[]} values */
function spread(values) {
  return (percentile(values, 0.75) - percentile(values, 0.25)) / median(values);
}
