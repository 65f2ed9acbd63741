import { SweepCompletion, type Pass } from './sweep-completion.js';

const WHOLE: Pass = { complete: true, paused: false, fresh: 100 };
const PAUSED: Pass = { complete: true, paused: true, fresh: 100 };
const CUT: Pass = { complete: false, paused: true, fresh: 100 };

/** The decision after each of these passes. */
function verdicts(...passes: Pass[]): (boolean | undefined)[] {
  const completion = new SweepCompletion();
  return passes.map((pass) => completion.after(pass));
}

it('a sweep is complete after a pass that came to its end and was not paused', () => {
  expect(verdicts(WHOLE)).toEqual([true]);
});

it('a sweep reads again after a pass that was paused, until a pass brings nothing new', () => {
  expect(verdicts(PAUSED, { ...WHOLE, fresh: 3 }, { ...WHOLE, fresh: 0 })).toEqual([undefined, undefined, true]);
});

it('a sweep reads again after a pass that was cut short, as long as each pass gets further', () => {
  expect(verdicts(CUT, CUT, CUT, CUT, CUT, CUT, WHOLE, { ...WHOLE, fresh: 0 })).toEqual([
    ...Array.from({ length: 7 }, () => undefined),
    true,
  ]);
});

it('a sweep is incomplete if the broker cuts it short and nothing new comes', () => {
  const nothing = { ...CUT, fresh: 0 };
  expect(verdicts(CUT, nothing, nothing, nothing)).toEqual([undefined, undefined, undefined, false]);
});

it('a sweep does not read for ever, however many clients are new', () => {
  const all = verdicts(...Array.from({ length: 20 }, () => PAUSED));
  expect(all.indexOf(true)).toBe(19);
  expect(verdicts(...Array.from({ length: 20 }, () => CUT)).indexOf(false)).toBe(19);
});
