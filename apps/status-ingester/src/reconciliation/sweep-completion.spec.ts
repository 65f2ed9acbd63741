import { SweepCompletion, type Completion, type Pass } from './sweep-completion.js';

const WHOLE = { missed: 0, readByFew: 0 };
const FULL: Pass = { complete: true, fresh: 100, ...WHOLE };
const FULL_AGAIN: Pass = { complete: true, fresh: 0, ...WHOLE };
const CUT: Pass = { complete: false, fresh: 100, ...WHOLE };
const CUT_AGAIN: Pass = { complete: false, fresh: 0, ...WHOLE };

/** The decision after each of these passes. */
function completions(...passes: Pass[]): (Completion | undefined)[] {
  const sweep = new SweepCompletion();
  return passes.map((pass) => sweep.after(pass));
}

/** The decision after the last of these passes, if there was none before it. */
function lastOf(...passes: Pass[]): Completion | undefined {
  const all = completions(...passes);
  expect(all.slice(0, -1).filter((one) => one !== undefined)).toEqual([]);
  return all.at(-1);
}

const COMPLETE = { complete: true };

it('a sweep is complete after a further pass that reached the sentinel and brought nothing new', () => {
  expect(lastOf(FULL, FULL_AGAIN)).toEqual(COMPLETE);
});

it('a sweep of an empty broker needs a further pass, too', () => {
  expect(completions(FULL_AGAIN, FULL_AGAIN)).toEqual([undefined, COMPLETE]);
});

it('a sweep reads again as long as a pass brings something new', () => {
  expect(lastOf(FULL, { ...FULL, fresh: 3 }, { ...FULL, fresh: 1 }, FULL_AGAIN)).toEqual(COMPLETE);
});

it('a sweep reads again after passes that were cut short, as long as each gets further', () => {
  expect(lastOf(CUT, CUT, CUT, CUT, CUT, CUT, FULL, FULL_AGAIN)).toEqual(COMPLETE);
});

it('a sweep is complete by a pass that missed known messages only if many passes brought each of the others', () => {
  const drops = { ...FULL_AGAIN, missed: 30, readByFew: 5 };
  expect(lastOf(FULL, drops)).toBeUndefined();
  expect(lastOf(FULL, drops, drops, { ...drops, readByFew: 0 })).toEqual(COMPLETE);
  expect(lastOf(FULL, drops, FULL_AGAIN)).toEqual(COMPLETE);
});

it('a sweep is not complete by a pass that was cut short, although it brought nothing new', () => {
  expect(lastOf(FULL, CUT_AGAIN)).toBeUndefined();
});

it('a sweep is incomplete if three passes are cut short and bring nothing new', () => {
  expect(lastOf(CUT, CUT_AGAIN, CUT_AGAIN, CUT_AGAIN)).toEqual({ complete: false, reason: 'cut-short' });
});

it('a sweep ends after 20 passes, and says whether the last one was cut short or brought more', () => {
  const times = (pass: Pass): Pass[] => Array.from({ length: 20 }, () => pass);
  expect(lastOf(...times(FULL))).toEqual({ complete: false, reason: 'more-each-time' });
  expect(lastOf(...times({ ...FULL_AGAIN, missed: 9, readByFew: 1 }))).toEqual({
    complete: false,
    reason: 'more-each-time',
  });
  expect(lastOf(...times(CUT))).toEqual({ complete: false, reason: 'cut-short' });
});
