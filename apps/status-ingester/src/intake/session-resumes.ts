/** Decides when a lane gives up a session that the broker cannot resume, and starts with a new one. Pure. */
import type { IntakeEnd } from '@app/broker';

export interface LaneConnectionEnd {
  /** `stalled`: the lane watch closed the connection, because nothing came by one of its filters. */
  how: IntakeEnd | 'stalled';
  /** Whether the broker resumed the session; undefined: it did not accept the connection. */
  sessionPresent: boolean | undefined;
  /** Whether the connection brought a message that no earlier one had brought; if it stalled, by the silent filter. */
  hasProgressed: boolean;
  /** How long it was open. */
  openMs: number;
}

/** Resumes of a session that failed in a row. */
export interface FailedResumes {
  count: number;
  /** When the first of them failed. */
  since: number;
  /** The session is not given up before that long after `since`. Doubles with each session that was given up. */
  graceMs: number;
}

/** So many failures in a row, over `RESUME_GRACE_MS` at least, let a lane give up its session. */
export const MOST_FAILED_RESUMES = 4;
/** A broker that has just crashed or is overloaded may close connections for a moment. */
export const RESUME_GRACE_MS = 3000;
/** If new sessions fail in the same way, a lane gives up one in this time. */
const MOST_GRACE_MS = 300_000;
/** A connection that was open for longer had resumed the session. */
export const RESUMED_AFTER_MS = 10_000;

export const NO_FAILED_RESUMES: FailedResumes = { count: 0, since: 0, graceMs: RESUME_GRACE_MS };

export function afterEnd(before: FailedResumes, end: LaneConnectionEnd, now: number): FailedResumes {
  const { how, sessionPresent, hasProgressed, openMs } = end;
  // The broker is away or refuses the lane, another owner has the session, or this process is at fault.
  if (sessionPresent === undefined || how === 'closed' || how === 'taken-over' || how === 'failed') return before;
  if (how === 'stalled') return oneMore(hasProgressed ? NO_FAILED_RESUMES : before, now);
  if (hasProgressed || openMs >= RESUMED_AFTER_MS) return NO_FAILED_RESUMES;
  return sessionPresent ? oneMore(before, now) : before;
}

export function mustStartClean({ count, since, graceMs }: FailedResumes, now: number): boolean {
  return count >= MOST_FAILED_RESUMES && now - since >= graceMs;
}

export function afterCleanStart({ graceMs }: FailedResumes): FailedResumes {
  return { ...NO_FAILED_RESUMES, graceMs: Math.min(2 * graceMs, MOST_GRACE_MS) };
}

function oneMore({ count, since, graceMs }: FailedResumes, now: number): FailedResumes {
  return { count: count + 1, since: count === 0 ? now : since, graceMs };
}
