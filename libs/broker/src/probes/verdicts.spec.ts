/** What each finding of a probe means, and the report of all. */
import { MOSQUITTO_FINDINGS } from '../../../../test/support/broker-findings.js';
import { CheckNotAllowedError, type Received } from '../check/check-connection.js';
import { judgeRetainedReadable, judgeSentinelOrder } from './absence.js';
import { judgeAbsentQueue } from './absent-queue.js';
import { grantedLimits, judgeGranted } from './granted.js';
import { judgeAbsentMember, judgeOneTopic } from './group-members.js';
import { judgeLastWill } from './last-will.js';
import { judgeNoSubscribers } from './no-subscribers.js';
import { ok, probe, unknown, type Measured, type Probe, type ProbeResult, type Verdict } from './probe.js';
import { ProbeBroker } from './probe-broker.js';
import { PROBES } from './probes.js';
import { compareDeliveries, judgeRedelivery } from './redelivery.js';
import { reportLines } from './report-table.js';
import { judgeRestart } from './restart.js';
import { judgeRetain } from './retain-as-published.js';
import { overall, runProbes } from './run-probes.js';
import { judgeStatistics } from './statistics.js';

const GRANTED = MOSQUITTO_FINDINGS.granted;

function order(two: number, one: number, lost = 0): Parameters<typeof judgeSentinelOrder>[0] {
  return {
    topics: 200,
    rounds: 20,
    late_in_two_subscribes: two,
    late_in_one_subscribe: one,
    rounds_without_sentinel: lost,
  };
}

const REDELIVERED = {
  unacknowledged: 20,
  to_others: 0,
  to_itself: 20,
  lost: 0,
  ordered: true,
  dup: true,
  same_packet_ids: true,
};
const RESTARTED = { session: true, queued: 10, queued_before: 10, shared_subscription: true, retained: true };

describe('the verdict of a probe', () => {
  it.each<[string, Verdict, { verdict: Verdict }]>([
    ['everything is granted', 'ok', judgeGranted(GRANTED)],
    ['QoS 0 only', 'wrong', judgeGranted({ ...GRANTED, maximumQos: 0 })],
    ['no retained messages', 'wrong', judgeGranted({ ...GRANTED, retainAvailable: false })],
    ['no shared subscriptions', 'wrong', judgeGranted({ ...GRANTED, sharedSubscriptions: false })],
    ['no wildcard subscriptions', 'wrong', judgeGranted({ ...GRANTED, wildcardSubscriptions: false })],
    ['sessions of 14 days', 'weaker', judgeGranted({ ...GRANTED, sessionExpirySeconds: 1_209_600 })],
    ['packets of 10 kB', 'weaker', judgeGranted({ ...GRANTED, maximumPacketSize: 10_000 })],
    ['packets of 1 MiB', 'ok', judgeGranted({ ...GRANTED, maximumPacketSize: 1_048_576 })],
    ['retain is kept', 'ok', judgeRetain({ lacks: null })],
    ['retain is not kept', 'wrong', judgeRetain({ lacks: 'retain-as-published' })],
    ['reads in order', 'ok', judgeSentinelOrder(order(0, 0))],
    ['one SUBSCRIBE out of order', 'ok', judgeSentinelOrder(order(0, 1961))],
    ['two SUBSCRIBEs out of order', 'weaker', judgeSentinelOrder(order(1, 1))],
    ['a lost sentinel', 'weaker', judgeSentinelOrder(order(0, 0, 1))],
    [
      'readable at the second read',
      'ok',
      judgeRetainedReadable({ handshakes: 50, missed_at_once: 3, missed_at_second_read: 0 }),
    ],
    [
      'not readable at the second read',
      'weaker',
      judgeRetainedReadable({ handshakes: 50, missed_at_once: 3, missed_at_second_read: 1 }),
    ],
    ['0x10', 'ok', judgeNoSubscribers({ without: 0x10, with: 0 })],
    ['never 0x10', 'weaker', judgeNoSubscribers({ without: 0, with: 0 })],
    ['always 0x10', 'wrong', judgeNoSubscribers({ without: 0x10, with: 0x10 })],
    ['one member', 'ok', judgeOneTopic({ messages: 100, delivered: 100, members: 1 })],
    ['both members', 'weaker', judgeOneTopic({ messages: 100, delivered: 100, members: 2 })],
    ['a lost message', 'wrong', judgeOneTopic({ messages: 100, delivered: 99, members: 1 })],
    ['each message to each member', 'wrong', judgeOneTopic({ messages: 100, delivered: 200, members: 2 })],
    ['a share that is kept', 'ok', judgeAbsentMember({ messages: 100, to_present: 50, to_absent: 50 })],
    [
      'a share that goes to the other member',
      'ok',
      judgeAbsentMember({ messages: 100, to_present: 100, to_absent: 0 }),
    ],
    [
      'a share of which the first messages are kept',
      'weaker',
      judgeAbsentMember({ messages: 100, to_present: 50, to_absent: 10 }),
    ],
    ['a share that is lost', 'wrong', judgeAbsentMember({ messages: 100, to_present: 50, to_absent: 0 })],
    ['redelivered with DUP', 'ok', judgeRedelivery(REDELIVERED)],
    ['redelivered without DUP', 'weaker', judgeRedelivery({ ...REDELIVERED, dup: false })],
    ['redelivered with new packet ids', 'weaker', judgeRedelivery({ ...REDELIVERED, same_packet_ids: false })],
    ['redelivered out of order', 'weaker', judgeRedelivery({ ...REDELIVERED, ordered: false })],
    ['redelivered in an order that is not known', 'ok', judgeRedelivery({ ...REDELIVERED, ordered: null })],
    ['redelivered to others', 'weaker', judgeRedelivery({ ...REDELIVERED, to_others: 20, to_itself: 0 })],
    ['redelivered to both', 'weaker', judgeRedelivery({ ...REDELIVERED, to_others: 15, to_itself: 5 })],
    ['a message that is not redelivered', 'wrong', judgeRedelivery({ ...REDELIVERED, to_itself: 19, lost: 1 })],
    ['a message that never arrived', 'weaker', judgeRedelivery({ ...REDELIVERED, unacknowledged: 10, to_itself: 19 })],
    ['a queue without limit', 'ok', judgeAbsentQueue({ published: 2000, delivered: 2000, session_kept: true })],
    ['a queue with a limit', 'weaker', judgeAbsentQueue({ published: 2000, delivered: 1999, session_kept: true })],
    ['a session that is not kept', 'weaker', judgeAbsentQueue({ published: 2000, delivered: 0, session_kept: false })],
    ['a will', 'ok', judgeLastWill({ after_break: true, at_take_over_clean: true, at_take_over_persistent: false })],
    [
      'no will',
      'wrong',
      judgeLastWill({ after_break: false, at_take_over_clean: true, at_take_over_persistent: true }),
    ],
    ['uptime', 'ok', judgeStatistics({ uptime: true, dropped: false })],
    ['no statistics', 'weaker', judgeStatistics({ uptime: false, dropped: false })],
    ['a restart that keeps all', 'ok', judgeRestart(RESTARTED)],
    [
      'a restart without its shared subscriptions',
      'weaker',
      judgeRestart({ ...RESTARTED, shared_subscription: false }),
    ],
    ['a restart without its sessions', 'weaker', judgeRestart({ ...RESTARTED, session: false })],
    ['a restart that loses a queued message', 'weaker', judgeRestart({ ...RESTARTED, queued: 9 })],
    ['a restart without its retained messages', 'weaker', judgeRestart({ ...RESTARTED, retained: false })],
  ])('for %s is %s', (_, verdict, finding) => {
    expect(finding.verdict).toBe(verdict);
  });

  it('names a missing right as a possible cause of statistics that do not come', () => {
    expect(judgeStatistics({ uptime: false, dropped: false }).found).toContain('or this user may not read it');
  });
});

describe('what would be wrong without it', () => {
  it.each([
    'granted limits',
    'retain flag when shared',
    'client id with dots',
    'last will',
    'redelivery',
    'absent member',
  ])('is unclear if the probe "%s" could not be made', (name) => {
    const all = [grantedLimits(GRANTED), ...PROBES];
    const results = all.map((one) => ({ ...ok('', ''), probe: one.name, needed: '', measured: {} }));
    const unclear = results.map((result) => (result.probe === name ? { ...result, ...unknown('', '') } : result));
    expect([overall(results, all), overall(unclear, all)]).toEqual(['ok', 'unknown']);
  });
});

describe('compareDeliveries', () => {
  const received = (payload: string, packetId: number, dup = false): Received => ({
    ...{ topic: 't', payload, retain: false, dup, packetId },
  });
  const first = [received('0', 1), received('1', 2)];

  it('knows a redelivery to the same session by DUP and packet id', () => {
    const again = [received('0', 1, true), received('1', 2, true)];
    expect(compareDeliveries(first, [], again)).toMatchObject({ ordered: true, dup: true, same_packet_ids: true });
  });

  it('knows new packet ids, and ignores messages that had not come before', () => {
    expect(compareDeliveries(first, [], [received('0', 1, true), received('1', 3, true)])).toMatchObject({
      same_packet_ids: false,
    });
    expect(compareDeliveries(first, [], [received('0', 1, true), received('2', 7)])).toMatchObject({
      ...{ dup: true, same_packet_ids: true },
    });
  });

  it('does not take equal packet ids of another member for the same ones', () => {
    expect(compareDeliveries(first, first, [])).toMatchObject({ to_others: 2, dup: false, same_packet_ids: false });
  });

  it('sees that the order changed, of either member', () => {
    const again = [...first].reverse();
    expect(compareDeliveries(first, [], again)).toMatchObject({ ordered: false });
    expect(compareDeliveries(first, again, [])).toMatchObject({ ordered: false });
  });

  it('does not judge the order if only one message had arrived before', () => {
    const [one, two] = first as [Received, Received];
    expect(compareDeliveries([one], [two, one], [])).toMatchObject({ unacknowledged: 1, to_others: 2, ordered: null });
  });

  it('does not judge messages that had not arrived before', () => {
    const [one, two] = first as [Received, Received];
    const later = received('2', 3);
    expect(compareDeliveries([one, two], [later, one, two], [])).toMatchObject({ ordered: true });
  });
});

describe('runProbes', () => {
  const broker = new ProbeBroker({ url: 'mqtt://127.0.0.1:2' });
  const probeWith = (measure: () => Promise<Measured>, more: Partial<Probe> = {}): Probe =>
    probe({ name: 'a probe', needed: 'an answer', limitMs: 10, ...more, measure, judge: () => ok('an answer', '') });
  const slow = probeWith(() => new Promise(() => undefined));
  const quick = probeWith(() => Promise.resolve({}));
  const failing = probeWith(() => Promise.reject(new Error('the reason')));
  const found = async (probes: readonly Probe[], options?: Parameters<typeof runProbes>[2]): Promise<unknown> =>
    (await runProbes(broker, probes, options)).probes.map((result) => [result.verdict, result.found]);

  it('goes on after a probe that has no result in time and after one that fails', async () => {
    expect(await found([slow, failing, quick])).toEqual([
      ['unknown', 'no result within 0 s'],
      ['unknown', 'the reason'],
      ['ok', 'an answer'],
    ]);
  });

  it('does not begin a probe without time, except for one that may take longer than all others', async () => {
    const late = probeWith(() => Promise.resolve({}), { limitMs: 10_000 });
    expect(await found([slow, { ...quick, limitMs: 5 }, late], { totalMs: 5 })).toEqual([
      ['unknown', 'no result within 0 s'],
      ['unknown', 'not begun: no time was left'],
      ['ok', 'an answer'],
    ]);
  });

  it('counts the time from before the first connection', async () => {
    const begin = performance.now() - 50;
    expect(await found([quick], { begin, totalMs: 50 })).toEqual([['unknown', 'not begun: no time was left']]);
  });

  it('ends at an essential probe whose topic is not allowed, and goes on after another one', async () => {
    const refused = probeWith(() => Promise.reject(new CheckNotAllowedError('a/topic')));
    expect(await found([refused])).toEqual([['unknown', 'the broker does not allow a/topic']]);
    await expect(found([{ ...refused, isEssential: true }])).rejects.toThrow(CheckNotAllowedError);
  });

  it.each<[Verdict[], boolean, Verdict]>([
    [['ok', 'ok'], true, 'ok'],
    [['ok', 'weaker'], true, 'weaker'],
    [['wrong', 'unknown'], true, 'wrong'],
    [['weaker', 'unknown'], true, 'unknown'],
    [['weaker', 'unknown'], false, 'weaker'],
  ])('makes of %j, with essentials %j, the verdict %s', (verdicts, isEssential, expected) => {
    const results = verdicts.map((verdict) => ({
      ...quick,
      ...unknown('', ''),
      probe: 'a probe',
      verdict,
      measured: {},
    }));
    const another = { ...quick, name: 'another probe', isEssential: true };
    expect(overall(results, [{ ...quick, isEssential }, another])).toBe(expected);
  });
});

describe('reportLines', () => {
  it('fits into 100 columns and breaks long words', () => {
    const long = `${'word '.repeat(30)}${'x'.repeat(70)}`;
    const row: ProbeResult = { probe: long, needed: long, found: long, verdict: 'weaker', meaning: long, measured: {} };
    const lines = reportLines({ verdict: 'weaker', duration_ms: 1000, probes: [row] });
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(100);
    expect(lines.join('\n')).toContain('WEAKER: word');
  });
});
