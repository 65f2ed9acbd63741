/** A probe is one question to a broker: what the service needs, what was found, and what it means for its promises. */
import { LACKS, REMEDY, type Essential } from '../check/essentials.js';
import type { ProbeBroker } from './probe-broker.js';

/**
 * `ok`: every promise holds. `weaker`: a promise is weaker, and `meaning` says which. `wrong`: the service would be wrong on
 * this broker. `unknown`: the probe could not be made.
 */
export type Verdict = 'ok' | 'weaker' | 'wrong' | 'unknown';

export interface Finding {
  verdict: Verdict;
  found: string;
  meaning: string;
}

/** What a probe counted or saw, for `--json`. Null: unknown, or no limit. */
export type Measured = Readonly<Record<string, number | boolean | string | null>>;

export interface ProbeResult extends Finding {
  probe: string;
  needed: string;
  measured: Measured;
}

export interface Probe {
  name: string;
  needed: string;
  /** Whether nothing can be said of the broker without its result: the service cannot do without it, or acts as if it were ok. */
  isEssential: boolean;
  limitMs: number;
  run(broker: ProbeBroker): Promise<Finding & { measured: Measured }>;
}

interface Definition<Found extends Measured> {
  name: string;
  needed: string;
  isEssential?: boolean;
  limitMs: number;
  measure: (broker: ProbeBroker) => Promise<Found>;
  /** Decides; asks nobody. */
  judge: (found: Found) => Finding;
}

export function probe<Found extends Measured>({
  measure,
  judge,
  isEssential = false,
  ...rest
}: Definition<Found>): Probe {
  return {
    ...rest,
    isEssential,
    run: async (broker) => {
      const measured = await measure(broker);
      return { ...judge(measured), measured };
    },
  };
}

export function ok(found: string, meaning: string): Finding {
  return { verdict: 'ok', found, meaning };
}

export function weaker(found: string, meaning: string): Finding {
  return { verdict: 'weaker', found, meaning };
}

export function wrong(found: string, meaning: string): Finding {
  return { verdict: 'wrong', found, meaning };
}

/** The service does not start on a broker without this. */
export function lacking(essential: Essential): Finding {
  return wrong(LACKS[essential], `the service does not start: ${REMEDY[essential]}`);
}

export function unknown(found: string, meaning: string): Finding {
  return { verdict: 'unknown', found, meaning };
}
