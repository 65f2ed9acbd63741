/**
 * Decides which reports of the broker's uptime are reliable. A report may have waited in the socket while this process was
 * frozen, and its time of arrival does not show that. So a report counts if an earlier report of the same connection
 * confirms it: between the two, the uptime and the monotonic clock of this process have advanced equally. No wall clock
 * is used.
 */

/** The broker had been running for `seconds` at `at`, by `performance.now()`. */
interface Observation {
  seconds: number;
  at: number;
}

export interface Uptime extends Observation {
  /**
   * `same`: the broker has been running since the last uptime that counted. `new`: it was started after that. `unknown`:
   * this process cannot tell.
   */
  run: 'same' | 'new' | 'unknown';
}

/** The uptime is in whole seconds, and a report takes a moment to arrive. */
export const UPTIME_TOLERANCE_MS = 2000;
/** Reports closer together than this prove nothing: in a burst of late reports they differ by less than the tolerance. */
export const UPTIME_MIN_SPAN_SECONDS = 5;
/** The clocks of two machines differ in speed, and days may pass between two connections. */
const DRIFT = 0.001;

export class UptimeProof {
  /** The report of this connection that the next ones are compared with. */
  private reference: Observation | undefined;
  private latest: Observation | undefined;
  /** The last uptime that counted, and whether the open connection brought it. */
  private proven: Observation | undefined;
  private isSameConnection = false;

  /** Call it for each new connection: it may lead to another process of the broker. */
  connected(): void {
    this.reference = undefined;
    this.latest = undefined;
    this.isSameConnection = false;
  }

  /** @returns undefined if the report proves nothing yet */
  observe(seconds: number, at: number): Uptime | undefined {
    // A proxy may keep the connection open while the broker behind it restarts.
    if (this.latest !== undefined && seconds < this.latest.seconds) this.connected();
    const report = { seconds, at };
    this.latest = report;
    if (this.reference === undefined || Math.abs(lagMs(this.reference, report)) > UPTIME_TOLERANCE_MS) {
      this.reference = report;
      return undefined;
    }
    if (seconds - this.reference.seconds < UPTIME_MIN_SPAN_SECONDS) return undefined;
    const run = this.isSameConnection ? 'same' : this.compareWithProven(report);
    this.reference = report;
    this.proven = report;
    this.isSameConnection = true;
    return { ...report, run };
  }

  private compareWithProven(report: Observation): Uptime['run'] {
    if (this.proven === undefined) return 'unknown';
    const lag = lagMs(this.proven, report);
    const tolerance = UPTIME_TOLERANCE_MS + DRIFT * (report.at - this.proven.at);
    if (lag > tolerance) return 'new';
    // The uptime has advanced more than the clock: the machine of this process was suspended, and its clock with it.
    return lag < -tolerance ? 'unknown' : 'same';
  }
}

/** By how much the uptime has advanced less than the clock. */
function lagMs(from: Observation, to: Observation): number {
  return to.at - from.at - (to.seconds - from.seconds) * 1000;
}
