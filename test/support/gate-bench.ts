/** A gate whose checks of the broker have given results, and what it says. */
import { randomUUID } from 'node:crypto';
import { createLogger, type Logger } from '@app/platform';
import type { BrokerCheck, EssentialsCheck } from '../../libs/broker/src/check/broker-check.js';
import { BrokerFacts } from '../../libs/broker/src/check/broker-facts.js';
import { BrokerGate, type BrokerGateOptions } from '../../libs/broker/src/check/broker-gate.js';
import { MOSQUITTO_FINDINGS } from './broker-findings.js';

export const CHECKED: BrokerCheck = { kind: 'checked', findings: MOSQUITTO_FINDINGS };
export const LACKS_RETAIN = { kind: 'missing', essential: 'retain-as-published' } as const;
export const AWAY = { kind: 'unreachable', details: 'connect ECONNREFUSED' } as const;
export const INTERRUPTED: BrokerCheck = {
  kind: 'interrupted',
  details: 'the connection ended',
  findings: { ...MOSQUITTO_FINDINGS, absenceProvable: null, noSubscriberSignal: null },
};
export const PRESENT: EssentialsCheck = { kind: 'present' };
export const SLOW: EssentialsCheck = { kind: 'interrupted', details: 'nothing came' };
export const AT_ONCE = { baseMs: 0, capMs: 0 };
export const LACKING_LINE =
  'the broker at mqtt://broker:1883 does not keep the retain flag on shared subscriptions (Retain As Published): use a ' +
  'broker that does, such as Mosquitto 2';

export const never = new AbortController().signal;

/** A check by a user without the right to its topics, which are others each time. */
export function notAllowed(): Extract<BrokerCheck, { kind: 'checked' }> {
  const findings = { ...MOSQUITTO_FINDINGS, absenceProvable: null, noSubscriberSignal: null };
  return { kind: 'checked', findings: { ...findings, notAllowed: `cloud-connector/check/${randomUUID()}/plain` } };
}

/** What a check results in; it throws an error. */
type Result<Check> = Check | Error | Promise<Check>;

/** Gives the results, one after the other; the last of them is repeated. */
async function resultOf<Check>(results: readonly Result<Check>[], count: number): Promise<Check> {
  const result = await results[Math.min(count, results.length - 1)];
  if (result instanceof Error) throw result;
  if (result === undefined) throw new Error('the spec has no result');
  return result;
}

export class GateBench {
  readonly facts = new BrokerFacts();
  readonly lines: { level: string; message: string; [member: string]: unknown }[] = [];
  /** How many whole checks there were. */
  whole = 0;
  /** The checks of the essentials. */
  readonly again: { count: number; withMessages: boolean[] } = { count: 0, withMessages: [] };
  private readonly gates: BrokerGate[] = [];

  /** A gate whose checks have these results. */
  gateWith(
    full: readonly Result<BrokerCheck>[],
    next: readonly Result<EssentialsCheck>[] = [{ kind: 'present' }],
    options: Partial<BrokerGateOptions> = {},
  ): BrokerGate {
    const one = new BrokerGate({
      url: 'mqtt://user:secret@broker:1883',
      needs: 'intake',
      facts: this.facts,
      checkAll: () => resultOf(full, this.whole++),
      checkEssentials: (withMessages) => {
        this.again.withMessages.push(withMessages);
        return resultOf(next, this.again.count++);
      },
      logger: this.logger(),
      ...options,
    });
    this.gates.push(one);
    return one;
  }

  messages(level: string): string[] {
    return this.lines.filter((line) => line.level === level).map(({ message }) => message);
  }

  async stop(): Promise<void> {
    await Promise.all(this.gates.map((one) => one.stop()));
  }

  /** A logger whose lines are kept. */
  private logger(): Logger {
    return createLogger('spec', 'info', {
      write: (text) => void this.lines.push(JSON.parse(text) as (typeof this.lines)[number]),
    });
  }
}
