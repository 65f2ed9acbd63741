/** Makes the probes one after another, each with its time limit. One that fails says so, and the rest goes on. */
import { within } from '@app/platform';
import { CheckNotAllowedError, CheckSilentError } from '../check/check-connection.js';
import type { ProbeBroker } from './probe-broker.js';
import { unknown, type Probe, type ProbeResult, type Verdict } from './probe.js';

/** Until the last of the probes but the restart ends, from before the first connection: the check takes less than a minute. */
const TOTAL_MS = 50_000;

export interface ProbeReport {
  verdict: Verdict;
  duration_ms: number;
  probes: ProbeResult[];
}

/** @throws CheckNotAllowedError, CheckSilentError if this user may not use the topics of the check: nothing can be found out then */
export async function runProbes(
  broker: ProbeBroker,
  probes: readonly Probe[],
  { begin = performance.now(), totalMs = TOTAL_MS }: { begin?: number; totalMs?: number } = {},
): Promise<ProbeReport> {
  const results: ProbeResult[] = [];
  for (const probe of probes) {
    // A probe that may take longer than all others together waits for the operator.
    const leftMs =
      probe.limitMs > totalMs ? probe.limitMs : Math.min(probe.limitMs, begin + totalMs - performance.now());
    results.push(await runProbe(broker, probe, leftMs));
    await broker.endConnections();
  }
  return { verdict: overall(results, probes), duration_ms: Math.round(performance.now() - begin), probes: results };
}

/** Wrong if one is; unknown if an essential is; else weaker if one is. Other probes that could not be made change nothing. */
export function overall(results: readonly ProbeResult[], probes: readonly Probe[]): Verdict {
  const has = (verdict: Verdict): boolean => results.some((result) => result.verdict === verdict);
  const isUnclear = results.some(
    ({ verdict, probe }) =>
      verdict === 'unknown' && probes.some(({ name, isEssential }) => isEssential && name === probe),
  );
  if (has('wrong')) return 'wrong';
  if (isUnclear) return 'unknown';
  return has('weaker') ? 'weaker' : 'ok';
}

async function runProbe(broker: ProbeBroker, probe: Probe, limitMs: number): Promise<ProbeResult> {
  const { name, needed } = probe;
  try {
    if (limitMs < 1) throw new Error('not begun: no time was left');
    const running = probe.run(broker);
    if (!(await within(limitMs, running))) throw new Error(`no result within ${Math.round(limitMs / 1000)} s`);
    return { probe: name, needed, ...(await running) };
  } catch (error) {
    const isRefused = error instanceof CheckNotAllowedError || error instanceof CheckSilentError;
    if (isRefused && probe.isEssential) throw error;
    const finding = unknown(error instanceof Error ? error.message : String(error), 'could not be probed');
    return { probe: name, needed, ...finding, measured: {} };
  }
}
