import {
  MOST_FAILED_RESUMES,
  NO_FAILED_RESUMES,
  RESUME_GRACE_MS,
  afterCleanStart,
  afterEnd,
  mustStartClean,
  type FailedResumes,
  type LaneConnectionEnd,
} from './session-resumes.js';

const FAILED: LaneConnectionEnd = { how: 'lost', sessionPresent: true, hasProgressed: false, openMs: 3 };
const STALLED: LaneConnectionEnd = { how: 'stalled', sessionPresent: true, hasProgressed: false, openMs: 26_000 };
const BEFORE: FailedResumes = { count: 2, since: 100, graceMs: 2 * RESUME_GRACE_MS };

describe('afterEnd', () => {
  it.each<[string, Partial<LaneConnectionEnd>]>([
    ['the broker closed a resumed session at once', {}],
    ['nothing came by a filter since the connection was opened', STALLED],
    ['nothing came by a filter of a new session', { ...STALLED, sessionPresent: false }],
  ])('counts a failed resume if %s', (_why, end) => {
    expect(afterEnd(BEFORE, { ...FAILED, ...end }, 500)).toEqual({ ...BEFORE, count: 3 });
  });

  it.each<[string, Partial<LaneConnectionEnd>]>([
    ['the broker cannot be reached or refuses the CONNECT', { sessionPresent: undefined }],
    ['the lane closed the connection', { how: 'closed' }],
    ['another connection took the session over', { how: 'taken-over' }],
    ['the handler failed', { how: 'failed' }],
    ['there was no session to resume', { sessionPresent: false }],
  ])('changes nothing if %s', (_why, end) => {
    expect(afterEnd(BEFORE, { ...FAILED, ...end }, 500)).toBe(BEFORE);
  });

  it.each<[string, Partial<LaneConnectionEnd>]>([
    ['brought new messages', { hasProgressed: true }],
    ['was open for ten seconds', { openMs: 10_000 }],
  ])('forgets earlier failures if the connection %s', (_why, end) => {
    expect(afterEnd(BEFORE, { ...FAILED, ...end }, 500)).toEqual(NO_FAILED_RESUMES);
  });

  it('counts a first failure if a filter fell silent that had brought messages on the same connection', () => {
    const stalled = afterEnd(BEFORE, { ...STALLED, hasProgressed: true }, 500);
    expect(stalled).toEqual({ count: 1, since: 500, graceMs: RESUME_GRACE_MS });
  });

  it('dates the first failure only', () => {
    const first = afterEnd(NO_FAILED_RESUMES, FAILED, 500);
    expect(afterEnd(first, FAILED, 900)).toEqual({ count: 2, since: 500, graceMs: RESUME_GRACE_MS });
  });
});

describe('mustStartClean', () => {
  const full: FailedResumes = { ...NO_FAILED_RESUMES, count: MOST_FAILED_RESUMES };

  it('is false before there were enough failures, and before they have lasted long enough', () => {
    expect(mustStartClean({ ...full, count: MOST_FAILED_RESUMES - 1 }, 60_000)).toBe(false);
    expect(mustStartClean(full, RESUME_GRACE_MS - 1)).toBe(false);
    expect(mustStartClean(full, RESUME_GRACE_MS)).toBe(true);
  });

  it('is true at most every five minutes for a broker that fails with new sessions as well', () => {
    let resumes = NO_FAILED_RESUMES;
    const cleanStarts: number[] = [];
    for (let now = 0; now < 3_600_000; now += 1000) {
      const isClean = mustStartClean(resumes, now);
      if (isClean) {
        cleanStarts.push(now);
        resumes = afterCleanStart(resumes);
      }
      resumes = afterEnd(resumes, { ...FAILED, sessionPresent: !isClean }, now);
    }
    expect(cleanStarts.length).toBeGreaterThan(10);
    expect(cleanStarts.length).toBeLessThan(20);
    const [last = 0, before = 0] = cleanStarts.reverse();
    expect(last - before).toBeGreaterThanOrEqual(300_000);
  });
});
