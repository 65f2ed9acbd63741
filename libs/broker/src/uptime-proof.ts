/**
 * Which reports of the broker's uptime can be relied on. A report may have waited in a socket while this process was frozen,
 * and its time of arrival does not show that. So a report counts if the uptime has grown since an earlier one of the same
 * connection as the monotonic clock of this process has. No wall clock is involved.
 */

/** The broker had been running for `seconds` at `at`, by `performance.now()`. */
interface Observation {
  seconds: number;
  at: number;
}

export interface Uptime extends Observation {
  /**
   * Whether the broker has been running since the last uptime that counted: `same`; or was started after it: `new`; or this
   * process cannot know.
   */
  run: 'same' | 'new' | 'unknown';
}

/** The uptime is in whole seconds, and a report takes a moment to arrive. */
const TOLERANCE_MS = 2000;
/** Two reports that lie closer together prove nothing: a burst of late ones differs by less than the tolerance. */
const SPAN_SECONDS = 5;
/** Clocks of two machines do not run alike, and a connection may be away for days. */
const DRIFT = 0.001;

export class UptimeProof {
  /** The report of this connection with which the next ones are compared. */
  private first: Observation | undefined;
  private latest: Observation | undefined;
  /** The last uptime that counted, and whether it came by the connection that is open now. */
  private proven: Observation | undefined;
  private isSameConnection = false;

  /** Another broker process may answer from now on. */
  connected(): void {
    this.first = undefined;
    this.latest = undefined;
    this.isSameConnection = false;
  }

  /** @returns undefined if the report proves nothing yet */
  take(seconds: number, at: number): Uptime | undefined {
    // A proxy may keep the connection while the broker behind it restarts.
    if (this.latest !== undefined && seconds < this.latest.seconds) this.connected();
    const report = { seconds, at };
    this.latest = report;
    if (this.first === undefined || Math.abs(lostMs(this.first, report)) > TOLERANCE_MS) {
      this.first = report;
      return undefined;
    }
    if (seconds - this.first.seconds < SPAN_SECONDS) return undefined;
    const run = this.isSameConnection ? 'same' : this.compared(report);
    this.first = report;
    this.proven = report;
    this.isSameConnection = true;
    return { ...report, run };
  }

  private compared(report: Observation): Uptime['run'] {
    if (this.proven === undefined) return 'unknown';
    const lost = lostMs(this.proven, report);
    const tolerance = TOLERANCE_MS + DRIFT * (report.at - this.proven.at);
    if (lost > tolerance) return 'new';
    // More uptime than time: the machine of this process was suspended, and its clock with it.
    return lost < -tolerance ? 'unknown' : 'same';
  }
}

/** How much less the uptime has grown than the clock. */
function lostMs(from: Observation, to: Observation): number {
  return to.at - from.at - (to.seconds - from.seconds) * 1000;
}
