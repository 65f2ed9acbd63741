import { MOSQUITTO_FINDINGS } from '../../../../test/support/broker-findings.js';
import {
  AT_ONCE,
  AWAY,
  CHECKED,
  GateBench,
  INTERRUPTED,
  LACKING_LINE,
  LACKS_RETAIN,
  PRESENT,
  SLOW,
  never,
  notAllowed,
} from '../../../../test/support/gate-bench.js';
import { eventually, gate } from '../../../../test/support/servers.js';
import type { BrokerCheck, BrokerFindings, EssentialsCheck } from './broker-check.js';
import { START_MS, type BrokerGate } from './broker-gate.js';
import { CHECK_TIMES } from './check-schedule.js';

let bench: GateBench;

beforeEach(() => {
  bench = new GateBench();
});
afterEach(() => bench.stop());

describe('BrokerGate at the start', () => {
  it('logs once what the broker grants, keeps the facts, and passes the findings on', async () => {
    const one = bench.gateWith([CHECKED]);
    const passedOn: BrokerFindings[] = [];
    one.onChecked((findings) => passedOn.push(findings));
    await one.start();
    expect(one.problem).toBeUndefined();
    expect(bench.facts.absenceProvable).toBe(true);
    expect(passedOn).toEqual([MOSQUITTO_FINDINGS]);
    expect(bench.lines).toHaveLength(1);
    expect(bench.lines[0]).toMatchObject({ level: 'info', receive_maximum: 1000, no_subscriber_signal: true });
  });

  it('refuses to start if an essential is missing, with cause and remedy and without credentials', async () => {
    const one = bench.gateWith([LACKS_RETAIN]);
    await expect(one.start()).rejects.toMatchObject({ name: 'RequirementError', message: LACKING_LINE });
    expect(one.problem).toBe(LACKING_LINE);
    // The process logs it as it ends.
    expect(bench.lines).toEqual([]);
  });

  it('lets nobody else change its problem, on which readiness depends', () => {
    const one = bench.gateWith([CHECKED]);
    expect(() => Object.assign(one, { problem: undefined })).toThrow(TypeError);
    expect(one.problem).toBe('the broker has not been checked yet');
  });

  it('starts although the broker is away, says so once, and checks it when it is there', async () => {
    const one = bench.gateWith([AWAY, AWAY, CHECKED]);
    await one.start();
    const problem = 'the broker at mqtt://broker:1883 cannot be reached: connect ECONNREFUSED';
    expect(one.problem).toBe(problem);
    expect(await one.pass(never)).toBe(true);
    expect(one.problem).toBeUndefined();
    expect(bench.messages('warn')).toEqual([problem]);
    expect(bench.messages('info')).toEqual(['checked the broker', 'the broker has what this app needs']);
  });

  it('waits for a slow check less than 10 s, and lets no lane pass until it has ended', async () => {
    expect(START_MS).toBeLessThan(10_000);
    const answer = gate<BrokerCheck>();
    const one = bench.gateWith([answer.passed, LACKS_RETAIN, CHECKED], undefined, { startMs: 0 });
    await one.start();
    const problem = 'the check of the broker at mqtt://broker:1883 takes more than 0 ms';
    expect([one.problem, ...bench.messages('warn')]).toEqual([problem, problem]);
    const pass = one.pass(never);
    answer.open(LACKS_RETAIN);
    expect(await pass).toBe(true);
    expect(bench.messages('error')).toEqual([`${LACKING_LINE}; no lane connects before that is done`]);
    expect(one.problem).toBeUndefined();
  });

  it('lets no lane pass while a broker that came later lacks an essential, and says so once', async () => {
    const one = bench.gateWith([AWAY, LACKS_RETAIN, LACKS_RETAIN, CHECKED]);
    await one.start();
    expect(await one.pass(never)).toBe(true);
    expect(bench.messages('error')).toEqual([`${LACKING_LINE}; no lane connects before that is done`]);
  });

  it('counts the broker as checked after three interrupted checks in a row, and says that little is known', async () => {
    const one = bench.gateWith([INTERRUPTED, AWAY, INTERRUPTED, INTERRUPTED, INTERRUPTED]);
    await one.start();
    expect(await one.pass(never)).toBe(true);
    expect(bench.facts.absenceProvable).toBeNull();
    expect(bench.messages('warn').at(-1)).toContain('was interrupted 3 times (the connection ended): it is not known');
    expect(await one.pass(never)).toBe(true);
    expect(bench.again.withMessages).toEqual([false]);
  });

  it('logs a check that throws, and makes it again: in the background after the start, and for a lane', async () => {
    const [first, later] = [new Error('the secret cannot be read'), new Error('the answer cannot be read')];
    const one = bench.gateWith([first, first, CHECKED], [later, { kind: 'present' }]);
    await one.start();
    expect(one.problem).toContain('the secret cannot be read');
    expect(await one.pass(never)).toBe(true);
    expect(await one.pass(never)).toBe(true);
    expect(one.problem).toBeUndefined();
    expect(bench.lines.filter(({ level }) => level === 'error')).toMatchObject([
      { message: expect.stringContaining('failed: the secret') as string, err: { message: first.message } },
      { message: expect.stringContaining('failed: the answer') as string, err: { message: later.message } },
    ]);
  });

  it('starts if the broker does not allow the topics of the check, and names them', async () => {
    const check = notAllowed();
    const one = bench.gateWith([check]);
    await one.start();
    expect(bench.messages('warn')).toEqual([
      expect.stringContaining(`the broker does not allow ${check.findings.notAllowed}`),
    ]);
    await one.pass(never);
    expect(bench.again.withMessages).toEqual([false]);
  });
});

describe('BrokerGate on a broker of which not all is known', () => {
  const soon = { ...CHECK_TIMES, unknown: AT_ONCE };

  it('makes the whole check again in the background, warns of a missing right once, and checks with messages when it is there', async () => {
    const one = bench.gateWith([notAllowed(), notAllowed(), notAllowed(), CHECKED], undefined, { times: soon });
    await one.start();
    await eventually('the right is there', () => expect(bench.facts.absenceProvable).toBe(true));
    expect(bench.messages('warn')).toEqual([expect.stringContaining('does not allow')]);
    await one.pass(never);
    expect([bench.whole, bench.again.withMessages]).toEqual([4, [true]]);
  });

  it('lets lanes pass while it waits for the next whole check, and asks them for no messages', async () => {
    const answer = gate<BrokerCheck>();
    const one = bench.gateWith([notAllowed(), answer.passed, CHECKED], undefined, { times: soon });
    await one.start();
    await eventually('the second whole check has begun', () => expect(bench.whole).toBe(2));
    expect(await one.pass(never)).toBe(true);
    expect(bench.again.withMessages).toEqual([false]);
    answer.open(CHECKED);
    await eventually('the check has ended', () => expect(bench.facts.absenceProvable).toBe(true));
  });

  it('comes back to checks with messages after three that were interrupted, at the start and at a lane', async () => {
    const one = bench.gateWith([INTERRUPTED, INTERRUPTED, INTERRUPTED, CHECKED], [SLOW, SLOW, SLOW, PRESENT], {
      times: soon,
    });
    await one.start();
    expect(await one.pass(never)).toBe(true);
    await eventually('all is known', () => expect(bench.facts.absenceProvable).toBe(true));
    expect(await one.pass(never)).toBe(true);
    await eventually('all is known again', () => expect(bench.whole).toBe(5));
    await one.pass(never);
    expect(bench.again.withMessages.slice(-4)).toEqual([true, true, true, true]);
  });
});

describe('BrokerGate at a stop', () => {
  it.each<[string, (one: BrokerGate) => Promise<unknown>]>([
    ['of the start', (one) => one.start()],
    ['of a lane', (one) => one.pass(never)],
  ])('ends the running check %s, waits until it has cleaned up, and reports nothing', async (_, begin) => {
    const [begun, cleaning] = [gate(), gate()];
    let isClean = false;
    const one = bench.gateWith([], [], {
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
    expect(bench.lines).toEqual([]);
  });

  it('makes no check any more after a lost connection', async () => {
    const one = bench.gateWith([CHECKED], undefined, { times: { atLeastMs: 0, unknown: AT_ONCE, failed: AT_ONCE } });
    await one.start();
    await one.stop();
    one.connectionLost();
    expect(await one.pass(never)).toBe(false);
    expect(bench.whole).toBe(1);
  });
});

describe('BrokerGate at connects of lanes', () => {
  it('makes one check for lanes that ask at the same time, and another one for the next', async () => {
    const answer = gate<EssentialsCheck>();
    const one = bench.gateWith([CHECKED], [answer.passed, { kind: 'present' }]);
    await one.start();
    const both = Promise.all([one.pass(never), one.pass(never)]);
    answer.open({ kind: 'present' });
    expect(await both).toEqual([true, true]);
    expect(bench.again.count).toBe(1);
    await one.pass(never);
    expect(bench.again.count).toBe(2);
  });

  it('lets no lane pass while an essential is missing, says so once, and lets it pass when it is there again', async () => {
    const answer = gate<EssentialsCheck>();
    const one = bench.gateWith([CHECKED], [LACKS_RETAIN, LACKS_RETAIN, answer.passed]);
    const missing: unknown[] = [];
    one.onMissing((essential) => missing.push(essential));
    await one.start();
    const pass = one.pass(never);
    await eventually('the third check is made', () => expect(bench.again.count).toBe(3));
    expect(one.problem).toBe(LACKING_LINE);
    expect(bench.messages('error')).toEqual([`${LACKING_LINE}; no lane connects before that is done`]);
    expect(missing).toEqual(['retain-as-published', 'retain-as-published']);
    answer.open({ kind: 'present' });
    expect(await pass).toBe(true);
    expect([one.problem, missing.at(-1)]).toEqual([undefined, undefined]);
    expect(missing).toHaveLength(3);
    expect(bench.messages('info').at(-1)).toBe('the broker has what this app needs');
  });

  it('gives a lane up that stops, and all of them when it stops itself', async () => {
    const one = bench.gateWith([CHECKED], [LACKS_RETAIN]);
    await one.start();
    const stopping = new AbortController();
    const [first, second] = [one.pass(stopping.signal), one.pass(never)];
    stopping.abort();
    expect(await first).toBe(false);
    await one.stop();
    expect(await second).toBe(false);
  });
});
