/** The conformance test finds each fault: a device that breaks a rule is reported with that rule, and with what was seen. */
import * as protocol from '@app/protocol';
import { ROOT } from '../../scripts/setup.mjs';
import { inTurn } from './in-turn.mjs';
import { killAll } from './program.mjs';
import { RULES } from './rules.mjs';
import { judge } from './scenarios.mjs';
import type { Settings, Verdict } from './trial.mjs';

/** For what must come. */
const TIMEOUT_MS = 60_000;
/** For what never comes from a device with this fault, however fast it is. */
const MISSING_MS = 1000;
/**
 * The devices with these faults come back, or publish, long before: each of these waits ends then. They are long, so that it does not
 * matter how fast the machine is.
 */
const LONG_MS = 60_000;
const TIMES = { wait: LONG_MS, away: LONG_MS, shortestPause: LONG_MS };
/** Devices that run at the same time. */
const AT_ONCE = 12;

type Fault = readonly [fault: string, rule: string, seen: string];
interface Device {
  /** Each with the rule that it breaks, and a part of what is reported. They do not disturb each other. */
  faults: readonly Fault[];
  /** Only the scenarios of this rule are played. */
  played?: string;
  times?: Settings['times'];
}

/** The longest first. */
const DEVICES: readonly Device[] = [
  { faults: [['comes-back-at-once', 'back-off', 'attempts in 10 s']] },
  {
    faults: [
      ['no-wait-when-forced', 'force-disconnect', 'it had to wait for 60000 ms'],
      ['no-wait-when-forced', 'force-disconnect-time', 'it had to wait for 60000 ms'],
      ['no-wait-when-forced', 'force-disconnect-long', 'it came back after'],
      ['no-wait-when-forced', 'force-disconnect-never', 'it came back after'],
      ['no-wait-when-refused', 'handshake-error', 'it had to wait for 60000 ms'],
      ['no-wait-when-refused', 'handshake-error-never', 'it came back after'],
    ],
  },
  { faults: [['counts-by-its-clock', 'force-disconnect-time', 'it had to wait for 60000 ms']] },
  { faults: [['no-pause-when-refused', 'handshake-error-pause', 'it had to wait for 60000 ms']] },
  {
    faults: [['stays-while-away', 'ends-while-away', 'the end of the program did not come in 1 s']],
    played: 'force-disconnect-never',
    // It stays away.
    times: { away: 0 },
  },
  { faults: [['gives-up', 'refused-connect', 'the program ended before a connection came']] },
  { faults: [['ends-without-broker', 'no-broker', 'the program ended before a connection came']] },
  {
    faults: [
      ['another-client-id', 'client-id', 'the MQTT client id is my-conformance-'],
      ['persistent-session', 'clean-session', 'clean session is false'],
      ['no-keep-alive', 'keep-alive', 'the keep-alive is 0 s'],
      ['no-will', 'last-will', 'there is no last will'],
      ['no-wait-for-suback', 'subscribe-first', 'a host-handshake came before the SUBACK'],
      ['handshake-not-retained', 'handshake', 'the handshake is not retained'],
      ['handshake-without-facts', 'envelope', 'a host-handshake is refused as wrong-shape: payload.canonical_facts'],
    ],
    played: 'handshake',
    times: { quiet: LONG_MS },
  },
  {
    faults: [
      ['session-expiry', 'clean-session', 'session expiry is 3600'],
      ['will-not-retained', 'last-will', 'the last will is not retained'],
      ['subscribes-to-all', 'subscribe-first', 'it subscribes to #, not to redhat/insights/out/'],
    ],
  },
  {
    faults: [
      ['will-delay', 'last-will', 'the will delay is 30 s'],
      ['subscribes-at-qos-0', 'subscribe-first', 'it subscribes at QoS 0'],
    ],
  },
  {
    faults: [
      ['will-of-nothing', 'last-will', 'the last will is refused as empty'],
      ['no-subscribe', 'subscribe-first', 'a host-handshake came before the SUBSCRIBE'],
    ],
  },
  {
    faults: [
      [
        'handshake-without-subscription',
        'subscription-refused',
        'the end of the connection did not come in 1 s; the last that came on this connection: ',
      ],
    ],
  },
  { faults: [['subscribes-once', 'reconnect', 'after the reconnect a host-handshake came before the SUBSCRIBE']] },
  { faults: [['repeats-old-handshake', 'reconnect', 'the old handshake was sent again before the SUBSCRIBE']] },
  {
    faults: [
      ['same-handshake-id', 'reconnect', 'the second handshake has the message_id of the first'],
      ['same-handshake-id', 'envelope', 'two messages have the message_id handshake'],
    ],
    played: 'reconnect',
  },
  { faults: [['no-answer', 'answer', 'the answer to a message did not come in 1 s']] },
  { faults: [['answers-at-any-size', 'answer-size', 'bytes; the service takes 262144']] },
  { faults: [['answers-at-any-depth', 'answer-size', 'is refused as too-deep']] },
  { faults: [['answers-another-message', 'answer', 'the answer to a message did not come in 1 s']] },
  { faults: [['no-puback', 'puback', 'the PUBACK of a message did not come in 1 s']] },
  {
    faults: [
      ['answer-retained', 'answer', 'the answer is retained'],
      ['does-it-again', 'repeat', 'the second answer has another message_id than the first'],
      ['everything-works', 'message-error', 'is a message-response'],
      ['fails-on-noise', 'ignores', 'the program ended its connection'],
      ['at-qos-0', 'envelope', 'a host-handshake came at QoS 0'],
    ],
    played: 'answer',
  },
  {
    faults: [
      ['believes-late-errors', 'late-handshake-error', 'the program ended its connection before'],
      ['sent-without-offset', 'envelope', ': an offset is missing (Z or +02:00)'],
    ],
    played: 'late-handshake-error',
    times: { quiet: LONG_MS },
  },
  {
    faults: [
      ['silent-when-repeated', 'repeat', 'the answer to the repeated message did not come in 1 s'],
      [
        'silent-when-repeated',
        'unacknowledged-answer',
        'the answer without a PUBACK did not come in 1 s; the last that came on this connection: SUBSCRIBE, host-handshake (QoS 1)',
      ],
    ],
  },
  { faults: [['forgets-expired', 'repeat-expired', 'the second answer has another message_id than the first']] },
  {
    faults: [['answers-in-memory', 'repeat-after-restart', 'the second answer has another message_id than the first']],
  },
  {
    faults: [
      [
        'takes-answers-for-sent',
        'unacknowledged-answer-after-restart',
        'the answer without a PUBACK did not come in 1 s',
      ],
    ],
  },
  {
    faults: [
      ['ignores-puback-errors', 'puback-error', 'the answer without a PUBACK did not come in 1 s'],
      ['ignores-puback-errors', 'puback-error-handshake', 'the end of the connection did not come in 1 s'],
    ],
  },
  {
    faults: [['repeats-after-puback-errors', 'puback-error', 'the answer came again on the same connection']],
    times: { quiet: LONG_MS },
  },
  { faults: [['takes-0x10-for-received', 'puback-no-subscribers', 'the answer that nobody got did not come in 1 s']] },
  { faults: [['repeats-0x10-at-once', 'puback-no-subscribers', '; the pause is 60000 ms at first']] },
  { faults: [['answers-at-qos-0', 'unacknowledged-answer', 'the answer came at QoS 0']] },
  { faults: [['stays-connected', 'force-disconnect', 'the end of the connection did not come in 1 s']] },
  { faults: [['fails-on-unreadable-times', 'force-disconnect-unreadable', 'without a DISCONNECT']] },
  { faults: [['leaves-handshake', 'goodbye', 'the handshake is still retained']] },
  { faults: [['goodbye-backwards', 'goodbye', '`offline` came after the empty retained message']] },
  { faults: [['no-wait-for-pubacks', 'goodbye', 'the DISCONNECT came before the PUBACKs of']] },
  { faults: [['vanishes', 'goodbye', 'the connection has ended without a DISCONNECT']] },
];
const FAULTS = DEVICES.flatMap(({ faults }) => faults);

const verdicts = new Map<Fault, Verdict | undefined>();

async function play({ faults, played, times }: Device): Promise<void> {
  const names = new Set(faults.map(([fault]) => fault));
  const command = `FAULTS=${[...names].join()} exec ${process.execPath} ${ROOT}/test/conformance/broken-device.mjs`;
  const missing = faults.flatMap(([, , seen]) => /^(.*) did not come/.exec(seen)?.slice(1) ?? []);
  const settings = {
    ...{ command, directive: 'demo:ping', timeoutMs: TIMEOUT_MS, protocol },
    limits: Object.fromEntries(missing.map((what) => [what, MISSING_MS])),
    times: { ...TIMES, ...times },
  };
  const rules = faults.map(([, rule]) => rule);
  const found = await judge(settings, rules, played === undefined ? rules : [played]);
  for (const [index, fault] of faults.entries()) verdicts.set(fault, found[index]);
}

beforeAll(async () => {
  await inTurn(DEVICES, AT_ONCE, play);
});
afterAll(killAll);

it.each(FAULTS.map((fault) => [...fault, fault] as const))(
  'a device with the fault %s breaks the rule %s',
  (_fault, rule, seen, key) => {
    expect(verdicts.get(key)).toMatchObject({ rule, outcome: 'broken', seen: expect.stringContaining(seen) as string });
  },
);

it('each rule is broken by a fault', () => {
  // The pauses of real devices depend on the machine: pauses.spec.ts breaks that rule.
  const broken = new Set([...FAULTS.map(([, rule]) => rule), 'jitter']);
  expect(RULES.map(({ id }) => id).filter((id) => !broken.has(id))).toEqual([]);
});
