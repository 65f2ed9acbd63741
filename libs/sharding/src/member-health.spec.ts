import { MemberHealthWatch } from './member-health.js';

const PATIENCE_MS = 100;
let watch: MemberHealthWatch;

beforeEach(() => {
  watch = new MemberHealthWatch(PATIENCE_MS);
});

function note(troubled: boolean, now: number, othersFit = true): string {
  watch.note(troubled, othersFit, now);
  return watch.current;
}

it('is fit from the start, and stays so', () => {
  expect([note(false, 0), note(false, 1)]).toEqual(['fit', 'fit']);
});

it('is unfit when trouble has lasted, and another is fit', () => {
  expect([note(true, 0), note(true, 99), note(true, 100)]).toEqual(['troubled', 'troubled', 'unfit']);
});

it('is not unfit for what troubles everybody, however long it lasts', () => {
  expect([note(true, 0, false), note(true, 1000, false)]).toEqual(['troubled', 'troubled']);
});

it('stays unfit until the trouble is over, whatever becomes of the others', () => {
  note(true, 0);
  expect([note(true, 100), note(true, 101, false), note(false, 102)]).toEqual(['unfit', 'unfit', 'troubled']);
});

it('is fit only when trouble has been over for as long, so that what ends for everybody moves nothing either', () => {
  note(true, 0, false);
  expect([note(false, 1000), note(false, 1099), note(false, 1100)]).toEqual(['troubled', 'troubled', 'fit']);
});

it('does not count trouble that comes and goes', () => {
  note(true, 0);
  note(false, 60);
  expect([note(true, 90), note(true, 189)]).toEqual(['troubled', 'troubled']);
});

it('counts trouble anew when it takes part again', () => {
  note(true, 0);
  watch.interrupted();
  expect([note(true, 500), note(true, 600)]).toEqual(['troubled', 'unfit']);
});
