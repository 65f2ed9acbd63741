import { MemberHealthWatch, type MemberFailure } from './member-health.js';

const GRACE_MS = 100;
let watch: MemberHealthWatch;

beforeEach(() => {
  watch = new MemberHealthWatch(GRACE_MS);
});

function note(failing: boolean, now: number, othersHealthy = true): string {
  watch.note(failing ? 'broker-unreachable' : undefined, othersHealthy, now);
  return watch.current;
}

it('a member is fit from the start, and stays fit without failures', () => {
  expect([note(false, 0), note(false, 1)]).toEqual(['fit', 'fit']);
});

it('a member is unfit after a lasting failure if another member is fit', () => {
  expect([note(true, 0), note(true, 99), note(true, 100)]).toEqual(['troubled', 'troubled', 'unfit']);
});

it('a member is not unfit if all members have the same failure, however long it lasts', () => {
  expect([note(true, 0, false), note(true, 1000, false)]).toEqual(['troubled', 'troubled']);
});

it('a member stays unfit until the failure is over, even if no other member is fit any more', () => {
  note(true, 0);
  expect([note(true, 100), note(true, 101, false), note(false, 102)]).toEqual(['unfit', 'unfit', 'troubled']);
});

it('a member is fit only some time after the failure, so that the end of a common failure moves nothing', () => {
  note(true, 0, false);
  expect([note(false, 1000), note(false, 1099), note(false, 1100)]).toEqual(['troubled', 'troubled', 'fit']);
});

it('a member with short failures is not unfit', () => {
  note(true, 0);
  note(false, 60);
  expect([note(true, 90), note(true, 189)]).toEqual(['troubled', 'troubled']);
});

it('a member counts the duration of a failure from zero after its heartbeat failed', () => {
  note(true, 0);
  watch.interrupted();
  expect([note(true, 500), note(true, 600)]).toEqual(['troubled', 'unfit']);
});

it('a member says why it is not fit, also after the failure, until it is fit again', () => {
  const reasonAfter = (failure: MemberFailure | undefined, now: number): unknown => {
    watch.note(failure, true, now);
    return watch.reason;
  };
  expect(watch.reason).toBeUndefined();
  expect([reasonAfter('redis-unreachable', 0), reasonAfter('broker-unreachable', 99)]).toEqual([
    'redis-unreachable',
    'broker-unreachable',
  ]);
  expect([reasonAfter(undefined, 100), reasonAfter(undefined, 199), reasonAfter(undefined, 200)]).toEqual([
    'recovering',
    'recovering',
    undefined,
  ]);
});

it('one failure after another is one failure: its duration is not counted from zero again', () => {
  watch.note('redis-unreachable', true, 0);
  watch.note('broker-unreachable', true, 60);
  expect(note(true, 100)).toBe('unfit');
});
