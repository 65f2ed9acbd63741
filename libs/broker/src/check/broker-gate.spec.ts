import { createLogger, type Logger } from '@app/platform';
import { MOSQUITTO_FINDINGS } from '../../../../test/support/broker-findings.js';
import { eventually, gate } from '../../../../test/support/servers.js';
import type { BrokerCheck, BrokerFindings, EssentialsCheck } from './broker-check.js';
import { BrokerFacts } from './broker-facts.js';
import { BrokerGate, type BrokerGateOptions } from './broker-gate.js';

const CHECKED: BrokerCheck = { kind: 'checked', findings: MOSQUITTO_FINDINGS };
const LACKS_RETAIN = { kind: 'missing', essential: 'retain-as-published' } as const;
const AWAY = { kind: 'unreachable', details: 'connect ECONNREFUSED' } as const;
const LACKING_LINE =
  'the broker at mqtt://broker:1883 does not keep the retain flag on shared subscriptions (Retain As Published): use a ' +
  'broker that does, such as Mosquitto 2';

let gates: BrokerGate[];
let facts: BrokerFacts;
let lines: { level: string; message: string; [member: string]: unknown }[];
let again: { count: number; withMessages: boolean[] };

beforeEach(() => {
  [gates, facts, lines, again] = [[], new BrokerFacts(), [], { count: 0, withMessages: [] }];
});
afterEach(() => {
  for (const one of gates) one.stop();
});

/** A logger whose lines are kept. */
function logger(): Logger {
  return createLogger('spec', 'info', { write: (text) => void lines.push(JSON.parse(text) as (typeof lines)[number]) });
}

function messages(level: string): string[] {
  return lines.filter((line) => line.level === level).map(({ message }) => message);
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

/** A gate whose checks have these results. */
function gateWith(
  full: readonly Result<BrokerCheck>[],
  next: readonly Result<EssentialsCheck>[] = [{ kind: 'present' }],
  options: Partial<BrokerGateOptions> = {},
): BrokerGate {
  let count = 0;
  const one = new BrokerGate({
    url: 'mqtt://user:secret@broker:1883',
    needs: 'intake',
    facts,
    checkAll: () => resultOf(full, count++),
    checkEssentials: (withMessages) => {
      again.withMessages.push(withMessages);
      return resultOf(next, again.count++);
    },
    logger: logger(),
    ...options,
  });
  gates.push(one);
  return one;
}

const never = new AbortController().signal;

describe('BrokerGate at the start', () => {
  it('logs once what the broker grants, keeps the facts, and passes the findings on', async () => {
    const one = gateWith([CHECKED]);
    const passedOn: BrokerFindings[] = [];
    one.onChecked((findings) => passedOn.push(findings));
    await one.start();
    expect(one.problem).toBeUndefined();
    expect(facts.absenceProvable).toBe(true);
    expect(passedOn).toEqual([MOSQUITTO_FINDINGS]);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 'info', receive_maximum: 1000, no_subscriber_signal: true });
  });

  it('refuses to start if an essential is missing, with cause and remedy and without credentials', async () => {
    const one = gateWith([LACKS_RETAIN]);
    await expect(one.start()).rejects.toMatchObject({ name: 'RequirementError', message: LACKING_LINE });
    expect(one.problem).toBe(LACKING_LINE);
    // The process logs it as it ends.
    expect(lines).toEqual([]);
  });

  it('starts although the broker is away, says so once, and checks it when it is there', async () => {
    const one = gateWith([AWAY, AWAY, CHECKED]);
    await one.start();
    const problem = 'the broker at mqtt://broker:1883 cannot be reached: connect ECONNREFUSED';
    expect(one.problem).toBe(problem);
    expect(await one.pass(never)).toBe(true);
    expect(one.problem).toBeUndefined();
    expect(messages('warn')).toEqual([problem]);
    expect(messages('info')).toEqual(['checked the broker', 'the broker has what this app needs']);
  });

  it('lets no lane pass while a broker that came later lacks an essential, and says so once', async () => {
    const one = gateWith([AWAY, LACKS_RETAIN, LACKS_RETAIN, CHECKED]);
    await one.start();
    expect(await one.pass(never)).toBe(true);
    expect(messages('error')).toEqual([`${LACKING_LINE}; no lane connects before that is done`]);
  });

  it('counts the broker as checked after three interrupted checks in a row, and says that little is known', async () => {
    const interrupted: BrokerCheck = {
      kind: 'interrupted',
      details: 'the connection ended',
      findings: { ...MOSQUITTO_FINDINGS, absenceProvable: null, noSubscriberSignal: null },
    };
    const one = gateWith([interrupted, AWAY, interrupted, interrupted, interrupted]);
    await one.start();
    expect(await one.pass(never)).toBe(true);
    expect(facts.absenceProvable).toBeNull();
    expect(messages('warn').at(-1)).toContain('was interrupted 3 times (the connection ended): it is not known');
    expect(await one.pass(never)).toBe(true);
    expect(again.withMessages).toEqual([false]);
  });

  it('logs a check that throws, and makes it again: in the background after the start, and for a lane', async () => {
    const [first, later] = [new Error('the secret cannot be read'), new Error('the answer cannot be read')];
    const one = gateWith([first, first, CHECKED], [later, { kind: 'present' }]);
    await one.start();
    expect(one.problem).toContain('the secret cannot be read');
    expect(await one.pass(never)).toBe(true);
    expect(await one.pass(never)).toBe(true);
    expect(one.problem).toBeUndefined();
    expect(lines.filter(({ level }) => level === 'error')).toMatchObject([
      { message: expect.stringContaining('failed: the secret') as string, err: { message: first.message } },
      { message: expect.stringContaining('failed: the answer') as string, err: { message: later.message } },
    ]);
  });

  it('starts if the broker does not allow the topics of the check, and names them', async () => {
    const topic = 'cloud-connector/check/1/plain';
    const one = gateWith([
      { kind: 'checked', findings: { ...MOSQUITTO_FINDINGS, absenceProvable: null, notAllowed: topic } },
    ]);
    await one.start();
    expect(messages('warn')).toEqual([expect.stringContaining(`the broker does not allow ${topic}`)]);
    await one.pass(never);
    expect(again.withMessages).toEqual([false]);
  });
});

describe('BrokerGate at connects of lanes', () => {
  it('makes one check for lanes that ask at the same time, and another one for the next', async () => {
    const answer = gate<EssentialsCheck>();
    const one = gateWith([CHECKED], [answer.passed, { kind: 'present' }]);
    await one.start();
    const both = Promise.all([one.pass(never), one.pass(never)]);
    answer.open({ kind: 'present' });
    expect(await both).toEqual([true, true]);
    expect(again.count).toBe(1);
    await one.pass(never);
    expect(again.count).toBe(2);
  });

  it('lets no lane pass while an essential is missing, says so once, and lets it pass when it is there again', async () => {
    const answer = gate<EssentialsCheck>();
    const one = gateWith([CHECKED], [LACKS_RETAIN, LACKS_RETAIN, answer.passed]);
    await one.start();
    const pass = one.pass(never);
    await eventually('the third check is made', () => expect(again.count).toBe(3));
    expect(one.problem).toBe(LACKING_LINE);
    expect(messages('error')).toEqual([`${LACKING_LINE}; no lane connects before that is done`]);
    answer.open({ kind: 'present' });
    expect(await pass).toBe(true);
    expect(one.problem).toBeUndefined();
    expect(messages('info').at(-1)).toBe('the broker has what this app needs');
  });

  it('gives a lane up that stops, and all of them when it stops itself', async () => {
    const one = gateWith([CHECKED], [LACKS_RETAIN]);
    await one.start();
    const stopping = new AbortController();
    const [first, second] = [one.pass(stopping.signal), one.pass(never)];
    stopping.abort();
    expect(await first).toBe(false);
    one.stop();
    expect(await second).toBe(false);
  });
});
