import { randomUUID } from 'node:crypto';
import { createLogger, type Logger } from '@app/platform';
import { MOSQUITTO_FINDINGS } from '../../../../test/support/broker-findings.js';
import { eventually, gate } from '../../../../test/support/servers.js';
import type { BrokerCheck, BrokerFindings, EssentialsCheck } from './broker-check.js';
import { CHECK_TIMES } from './check-schedule.js';
import { BrokerFacts } from './broker-facts.js';
import { BrokerGate, START_MS, type BrokerGateOptions } from './broker-gate.js';

const CHECKED: BrokerCheck = { kind: 'checked', findings: MOSQUITTO_FINDINGS };
const LACKS_RETAIN = { kind: 'missing', essential: 'retain-as-published' } as const;
const AWAY = { kind: 'unreachable', details: 'connect ECONNREFUSED' } as const;
const INTERRUPTED: BrokerCheck = {
  kind: 'interrupted',
  details: 'the connection ended',
  findings: { ...MOSQUITTO_FINDINGS, absenceProvable: null, noSubscriberSignal: null },
};
const PRESENT: EssentialsCheck = { kind: 'present' };
const SLOW: EssentialsCheck = { kind: 'interrupted', details: 'nothing came' };
const AT_ONCE = { baseMs: 0, capMs: 0 };
const LACKING_LINE =
  'the broker at mqtt://broker:1883 does not keep the retain flag on shared subscriptions (Retain As Published): use a ' +
  'broker that does, such as Mosquitto 2';

let gates: BrokerGate[];
let facts: BrokerFacts;
let lines: { level: string; message: string; [member: string]: unknown }[];
let whole: number;
let again: { count: number; withMessages: boolean[] };

beforeEach(() => {
  [gates, facts, lines, whole, again] = [[], new BrokerFacts(), [], 0, { count: 0, withMessages: [] }];
});
afterEach(() => Promise.all(gates.map((one) => one.stop())));

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
  const one = new BrokerGate({
    url: 'mqtt://user:secret@broker:1883',
    needs: 'intake',
    facts,
    checkAll: () => resultOf(full, whole++),
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

/** A check by a user without the right to its topics, which are others each time. */
function notAllowed(): Extract<BrokerCheck, { kind: 'checked' }> {
  const findings = { ...MOSQUITTO_FINDINGS, absenceProvable: null, noSubscriberSignal: null };
  return { kind: 'checked', findings: { ...findings, notAllowed: `cloud-connector/check/${randomUUID()}/plain` } };
}

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

  it('lets nobody else change its problem, on which readiness depends', () => {
    const one = gateWith([CHECKED]);
    expect(() => Object.assign(one, { problem: undefined })).toThrow(TypeError);
    expect(one.problem).toBe('the broker has not been checked yet');
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

  it('waits for a slow check less than 10 s, and lets no lane pass until it has ended', async () => {
    expect(START_MS).toBeLessThan(10_000);
    const answer = gate<BrokerCheck>();
    const one = gateWith([answer.passed, LACKS_RETAIN, CHECKED], undefined, { startMs: 0 });
    await one.start();
    const problem = 'the check of the broker at mqtt://broker:1883 takes more than 0 ms';
    expect([one.problem, ...messages('warn')]).toEqual([problem, problem]);
    const pass = one.pass(never);
    answer.open(LACKS_RETAIN);
    expect(await pass).toBe(true);
    expect(messages('error')).toEqual([`${LACKING_LINE}; no lane connects before that is done`]);
    expect(one.problem).toBeUndefined();
  });

  it('lets no lane pass while a broker that came later lacks an essential, and says so once', async () => {
    const one = gateWith([AWAY, LACKS_RETAIN, LACKS_RETAIN, CHECKED]);
    await one.start();
    expect(await one.pass(never)).toBe(true);
    expect(messages('error')).toEqual([`${LACKING_LINE}; no lane connects before that is done`]);
  });

  it('counts the broker as checked after three interrupted checks in a row, and says that little is known', async () => {
    const one = gateWith([INTERRUPTED, AWAY, INTERRUPTED, INTERRUPTED, INTERRUPTED]);
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
    const check = notAllowed();
    const one = gateWith([check]);
    await one.start();
    expect(messages('warn')).toEqual([
      expect.stringContaining(`the broker does not allow ${check.findings.notAllowed}`),
    ]);
    await one.pass(never);
    expect(again.withMessages).toEqual([false]);
  });
});

describe('BrokerGate on a broker of which not all is known', () => {
  const soon = { ...CHECK_TIMES, unknown: AT_ONCE };

  it('makes the whole check again in the background, warns of a missing right once, and checks with messages when it is there', async () => {
    const one = gateWith([notAllowed(), notAllowed(), notAllowed(), CHECKED], undefined, { times: soon });
    await one.start();
    await eventually('the right is there', () => expect(facts.absenceProvable).toBe(true));
    expect(messages('warn')).toEqual([expect.stringContaining('does not allow')]);
    await one.pass(never);
    expect([whole, again.withMessages]).toEqual([4, [true]]);
  });

  it('lets lanes pass while it waits for the next whole check, and asks them for no messages', async () => {
    const answer = gate<BrokerCheck>();
    const one = gateWith([notAllowed(), answer.passed, CHECKED], undefined, { times: soon });
    await one.start();
    await eventually('the second whole check has begun', () => expect(whole).toBe(2));
    expect(await one.pass(never)).toBe(true);
    expect(again.withMessages).toEqual([false]);
    answer.open(CHECKED);
    await eventually('the check has ended', () => expect(facts.absenceProvable).toBe(true));
  });

  it('comes back to checks with messages after three that were interrupted, at the start and at a lane', async () => {
    const one = gateWith([INTERRUPTED, INTERRUPTED, INTERRUPTED, CHECKED], [SLOW, SLOW, SLOW, PRESENT], {
      times: soon,
    });
    await one.start();
    expect(await one.pass(never)).toBe(true);
    await eventually('all is known', () => expect(facts.absenceProvable).toBe(true));
    expect(await one.pass(never)).toBe(true);
    await eventually('all is known again', () => expect(whole).toBe(5));
    await one.pass(never);
    expect(again.withMessages.slice(-4)).toEqual([true, true, true, true]);
  });
});

describe('BrokerGate after a lost connection', () => {
  const OTHER: BrokerCheck = { kind: 'checked', findings: { ...MOSQUITTO_FINDINGS, absenceProvable: false } };
  const times = { atLeastMs: 0, unknown: AT_ONCE, failed: AT_ONCE };

  it('finds out about another broker before a lane connects to it', async () => {
    const one = gateWith([CHECKED, OTHER], undefined, { times });
    const passedOn: BrokerFindings[] = [];
    one.onChecked((findings) => passedOn.push(findings));
    await one.start();
    one.connectionLost();
    expect(await one.pass(never)).toBe(true);
    expect([facts.absenceProvable, again.count]).toEqual([false, 0]);
    expect(passedOn).toHaveLength(2);
    await one.pass(never);
    expect([whole, again.count]).toEqual([2, 1]);
  });

  it('logs what a check has found only if it differs from what the one before has found', async () => {
    const one = gateWith([CHECKED, CHECKED, OTHER, OTHER], undefined, { times });
    await one.start();
    for (let i = 0; i < 3; i++) {
      one.connectionLost();
      await one.pass(never);
    }
    expect(whole).toBe(4);
    const checked = lines.filter(({ message }) => message === 'checked the broker');
    expect(checked.map(({ absence_provable }) => absence_provable)).toEqual([true, false]);
  });

  it('finds out about it without a lane too, when it can be reached', async () => {
    const one = gateWith([CHECKED, AWAY, AWAY, OTHER], undefined, { times });
    await one.start();
    one.connectionLost();
    await eventually('the other broker was checked', () => expect(facts.absenceProvable).toBe(false));
    expect(whole).toBe(4);
    expect([one.problem, ...messages('warn').slice(0, -1)]).toEqual([undefined]);
  });

  it('takes no absence for proved because a check could not find out, and makes it again', async () => {
    const UNCLEAR: BrokerCheck = { kind: 'checked', findings: { ...MOSQUITTO_FINDINGS, absenceProvable: null } };
    const answer = gate<BrokerCheck>();
    const one = gateWith([OTHER, UNCLEAR, answer.passed], undefined, { times });
    await one.start();
    one.connectionLost();
    await eventually('the third check has begun', () => expect(whole).toBe(3));
    expect(facts.absenceProvable).toBe(false);
    answer.open(CHECKED);
    await eventually('all is known', () => expect(facts.absenceProvable).toBe(true));
  });

  it('keeps what it knows if the check is interrupted', async () => {
    const one = gateWith([OTHER, INTERRUPTED], undefined, { times: { ...times, unknown: CHECK_TIMES.unknown } });
    await one.start();
    one.connectionLost();
    await eventually('three checks were interrupted', () => expect(whole).toBe(4));
    expect(await one.pass(never)).toBe(true);
    expect(facts.absenceProvable).toBe(false);
  });

  it('is a problem if the other broker lacks an essential, until a whole check has passed', async () => {
    const one = gateWith([CHECKED, LACKS_RETAIN, LACKS_RETAIN, CHECKED], undefined, {
      times: { ...times, failed: CHECK_TIMES.failed },
    });
    await one.start();
    one.connectionLost();
    await eventually('the problem is known', () => expect(one.problem).toBe(LACKING_LINE));
    expect(messages('error')).toEqual([`${LACKING_LINE}; no lane connects before that is done`]);
    expect(await one.pass(never)).toBe(true);
    expect([one.problem, whole, again.count]).toEqual([undefined, 4, 0]);
  });
});

describe('BrokerGate and the retain flag of messages', () => {
  const times = { atLeastMs: 0, unknown: CHECK_TIMES.unknown, failed: AT_ONCE };

  it.each<[string, BrokerCheck[], boolean]>([
    ['that all was found', [CHECKED], true],
    ['that its topics are not allowed', [notAllowed()], false],
    ['nothing, three times', [INTERRUPTED], false],
  ])('a check that finds %s', async (_, checks, isKept) => {
    const one = gateWith(checks);
    expect(one.keepsRetainFlag).toBe(false);
    await one.start();
    await one.pass(never);
    expect(one.keepsRetainFlag).toBe(isKept);
  });

  it('is not known after a lost connection, until the broker has been checked', async () => {
    const one = gateWith([CHECKED], undefined, { times });
    await one.start();
    one.connectionLost();
    expect(one.keepsRetainFlag).toBe(false);
    await one.pass(never);
    expect(one.keepsRetainFlag).toBe(true);
  });

  it('is not known after a message that has lost it: that is logged once, and the whole check finds the cause', async () => {
    const one = gateWith([CHECKED, LACKS_RETAIN], undefined, { times });
    await one.start();
    one.retainFlagRemoved();
    one.retainFlagRemoved();
    expect(one.keepsRetainFlag).toBe(false);
    await eventually('the cause is known', () => expect(one.problem).toBe(LACKING_LINE));
    expect(messages('warn')).toEqual([expect.stringContaining('removed the retain flag')]);
    expect(one.keepsRetainFlag).toBe(false);
  });
});

describe('BrokerGate at a stop', () => {
  it.each<[string, (one: BrokerGate) => Promise<unknown>]>([
    ['of the start', (one) => one.start()],
    ['of a lane', (one) => one.pass(never)],
  ])('ends the running check %s, waits until it has cleaned up, and reports nothing', async (_, begin) => {
    const [begun, cleaning] = [gate(), gate()];
    let isClean = false;
    const one = gateWith([], [], {
      checkAll: async (signal) => {
        begun.open();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        await cleaning.passed;
        await new Promise((resolve) => setImmediate(resolve));
        isClean = true;
        return AWAY;
      },
    });
    const checked = begin(one);
    await begun.passed;
    const wasClean = one.stop().then(() => isClean);
    cleaning.open();
    expect(await wasClean).toBe(true);
    await checked;
    expect(lines).toEqual([]);
  });

  it('makes no check any more after a lost connection', async () => {
    const one = gateWith([CHECKED], undefined, { times: { atLeastMs: 0, unknown: AT_ONCE, failed: AT_ONCE } });
    await one.start();
    await one.stop();
    one.connectionLost();
    expect(await one.pass(never)).toBe(false);
    expect(whole).toBe(1);
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
    const missing: unknown[] = [];
    one.onMissing((essential) => missing.push(essential));
    await one.start();
    const pass = one.pass(never);
    await eventually('the third check is made', () => expect(again.count).toBe(3));
    expect(one.problem).toBe(LACKING_LINE);
    expect(messages('error')).toEqual([`${LACKING_LINE}; no lane connects before that is done`]);
    expect(missing).toEqual(['retain-as-published', 'retain-as-published']);
    answer.open({ kind: 'present' });
    expect(await pass).toBe(true);
    expect([one.problem, missing.at(-1)]).toEqual([undefined, undefined]);
    expect(missing).toHaveLength(3);
    expect(messages('info').at(-1)).toBe('the broker has what this app needs');
  });

  it('gives a lane up that stops, and all of them when it stops itself', async () => {
    const one = gateWith([CHECKED], [LACKS_RETAIN]);
    await one.start();
    const stopping = new AbortController();
    const [first, second] = [one.pass(stopping.signal), one.pass(never)];
    stopping.abort();
    expect(await first).toBe(false);
    await one.stop();
    expect(await second).toBe(false);
  });
});
