import { MOSQUITTO_FINDINGS } from '../../../../test/support/broker-findings.js';
import {
  AT_ONCE,
  AWAY,
  CHECKED,
  GateBench,
  INTERRUPTED,
  LACKING_LINE,
  LACKS_RETAIN,
  never,
  notAllowed,
} from '../../../../test/support/gate-bench.js';
import { eventually, gate } from '../../../../test/support/servers.js';
import type { BrokerCheck, BrokerFindings } from './broker-check.js';
import { CHECK_TIMES } from './check-schedule.js';

let bench: GateBench;

beforeEach(() => {
  bench = new GateBench();
});
afterEach(() => bench.stop());

describe('BrokerGate after a lost connection', () => {
  const OTHER: BrokerCheck = { kind: 'checked', findings: { ...MOSQUITTO_FINDINGS, absenceProvable: false } };
  const times = { atLeastMs: 0, unknown: AT_ONCE, failed: AT_ONCE };

  it('finds out about another broker before a lane connects to it', async () => {
    const one = bench.gateWith([CHECKED, OTHER], undefined, { times });
    const passedOn: BrokerFindings[] = [];
    one.onChecked((findings) => passedOn.push(findings));
    await one.start();
    one.connectionLost();
    expect(await one.pass(never)).toBe(true);
    expect([bench.facts.absenceProvable, bench.again.count]).toEqual([false, 0]);
    expect(passedOn).toHaveLength(2);
    await one.pass(never);
    expect([bench.whole, bench.again.count]).toEqual([2, 1]);
  });

  it('logs what a check has found only if it differs from what the one before has found', async () => {
    const one = bench.gateWith([CHECKED, CHECKED, OTHER, OTHER], undefined, { times });
    await one.start();
    for (let i = 0; i < 3; i++) {
      one.connectionLost();
      await one.pass(never);
    }
    expect(bench.whole).toBe(4);
    const checked = bench.lines.filter(({ message }) => message === 'checked the broker');
    expect(checked.map(({ absence_provable }) => absence_provable)).toEqual([true, false]);
  });

  it('finds out about it without a lane too, when it can be reached', async () => {
    const one = bench.gateWith([CHECKED, AWAY, AWAY, OTHER], undefined, { times });
    await one.start();
    one.connectionLost();
    await eventually('the other broker was checked', () => expect(bench.facts.absenceProvable).toBe(false));
    expect(bench.whole).toBe(4);
    expect([one.problem, ...bench.messages('warn').slice(0, -1)]).toEqual([undefined]);
  });

  it('takes no absence for proved because a check could not find out, and makes it again', async () => {
    const UNCLEAR: BrokerCheck = { kind: 'checked', findings: { ...MOSQUITTO_FINDINGS, absenceProvable: null } };
    const answer = gate<BrokerCheck>();
    const one = bench.gateWith([OTHER, UNCLEAR, answer.passed], undefined, { times });
    await one.start();
    one.connectionLost();
    await eventually('the third check has begun', () => expect(bench.whole).toBe(3));
    expect(bench.facts.absenceProvable).toBe(false);
    answer.open(CHECKED);
    await eventually('all is known', () => expect(bench.facts.absenceProvable).toBe(true));
  });

  it('keeps what it knows if the check is interrupted', async () => {
    const one = bench.gateWith([OTHER, INTERRUPTED], undefined, { times: { ...times, unknown: CHECK_TIMES.unknown } });
    await one.start();
    one.connectionLost();
    await eventually('three checks were interrupted', () => expect(bench.whole).toBe(4));
    expect(await one.pass(never)).toBe(true);
    expect(bench.facts.absenceProvable).toBe(false);
  });

  it('is a problem if the other broker lacks an essential, until a whole check has passed', async () => {
    const one = bench.gateWith([CHECKED, LACKS_RETAIN, LACKS_RETAIN, CHECKED], undefined, {
      times: { ...times, failed: CHECK_TIMES.failed },
    });
    await one.start();
    one.connectionLost();
    await eventually('the problem is known', () => expect(one.problem).toBe(LACKING_LINE));
    expect(bench.messages('error')).toEqual([`${LACKING_LINE}; no lane connects before that is done`]);
    expect(await one.pass(never)).toBe(true);
    expect([one.problem, bench.whole, bench.again.count]).toEqual([undefined, 4, 0]);
  });
});

describe('BrokerGate and the retain flag of messages', () => {
  const times = { atLeastMs: 0, unknown: CHECK_TIMES.unknown, failed: AT_ONCE };

  it.each<[string, BrokerCheck[], boolean]>([
    ['that all was found', [CHECKED], true],
    ['that its topics are not allowed', [notAllowed()], false],
    ['nothing, three times', [INTERRUPTED], false],
  ])('a check that finds %s', async (_, checks, isKept) => {
    const one = bench.gateWith(checks);
    expect(one.keepsRetainFlag).toBe(false);
    await one.start();
    await one.pass(never);
    expect(one.keepsRetainFlag).toBe(isKept);
  });

  it('is not known after a lost connection, until the broker has been checked', async () => {
    const one = bench.gateWith([CHECKED], undefined, { times });
    await one.start();
    one.connectionLost();
    expect(one.keepsRetainFlag).toBe(false);
    await one.pass(never);
    expect(one.keepsRetainFlag).toBe(true);
  });

  it('is not known after a message that has lost it: that is logged once, and the whole check finds the cause', async () => {
    const one = bench.gateWith([CHECKED, LACKS_RETAIN], undefined, { times });
    await one.start();
    one.retainFlagRemoved();
    one.retainFlagRemoved();
    expect(one.keepsRetainFlag).toBe(false);
    await eventually('the cause is known', () => expect(one.problem).toBe(LACKING_LINE));
    expect(bench.messages('warn')).toEqual([expect.stringContaining('removed the retain flag')]);
    expect(one.keepsRetainFlag).toBe(false);
  });
});
