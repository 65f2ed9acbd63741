/** The conformance test finds each fault: a device that breaks a rule is reported with that rule, and with what was seen. */
import * as protocol from '@app/protocol';
import { ROOT } from '../../scripts/setup.mjs';
import { killAll } from './program.mjs';
import { RULES } from './rules.mjs';
import { judge } from './scenarios.mjs';

/** For what comes, and for what does not. */
const TIMEOUT_MS = 30_000;
const MISSING_MS = 10_000;
/** Devices that run at the same time. */
const AT_ONCE = 12;

/** A fault of broken-device.mjs, the rule that it breaks, and a part of what is reported. The longest first. */
const FAULTS: readonly (readonly [fault: string, rule: string, seen: string])[] = [
  ['comes-back-at-once', 'back-off', 'attempts in 10 s'],
  ['no-wait-when-forced', 'force-disconnect-long', 'it came back after'],
  ['no-wait-when-forced', 'force-disconnect-never', 'it came back after'],
  ['no-wait-when-refused', 'handshake-error-never', 'it came back after'],
  ['stays-while-away', 'ends-while-away', 'the end of the program did not come in 10 s'],
  ['another-client-id', 'client-id', 'the MQTT client id is my-conformance-'],
  ['persistent-session', 'clean-session', 'clean session is false'],
  ['session-expiry', 'clean-session', 'session expiry is 3600'],
  ['no-keep-alive', 'keep-alive', 'the keep-alive is 0 s'],
  ['no-will', 'last-will', 'there is no last will'],
  ['will-not-retained', 'last-will', 'the last will is not retained'],
  ['will-delay', 'last-will', 'the will delay is 30 s'],
  ['will-of-nothing', 'last-will', 'the last will is refused as empty'],
  ['gives-up', 'refused-connect', 'the program ended before a connection came'],
  ['ends-without-broker', 'no-broker', 'the program ended before a connection came'],
  ['no-subscribe', 'subscribe-first', 'a host-handshake came before the SUBSCRIBE'],
  ['subscribes-to-all', 'subscribe-first', 'it subscribes to #, not to redhat/insights/out/'],
  ['subscribes-at-qos-0', 'subscribe-first', 'it subscribes at QoS 0'],
  ['no-wait-for-suback', 'subscribe-first', 'a host-handshake came before the SUBACK'],
  ['handshake-without-subscription', 'subscription-refused', 'the end of the connection did not come in 10 s'],
  ['subscribes-once', 'reconnect', 'after the reconnect a host-handshake came before the SUBSCRIBE'],
  ['repeats-old-handshake', 'reconnect', 'the old handshake was sent again before the SUBSCRIBE'],
  ['same-handshake-id', 'reconnect', 'the second handshake has the message_id of the first'],
  ['handshake-not-retained', 'handshake', 'the handshake is not retained'],
  ['handshake-without-facts', 'envelope', 'a host-handshake is refused as wrong-shape: payload.canonical_facts'],
  ['at-qos-0', 'envelope', 'a host-handshake came at QoS 0'],
  ['sent-without-offset', 'envelope', ': an offset is missing (Z or +02:00)'],
  ['same-handshake-id', 'envelope', 'two messages have the message_id handshake'],
  ['no-puback', 'puback', 'the PUBACK of a message did not come in 10 s'],
  ['no-answer', 'answer', 'a message-response or message-error did not come in 10 s'],
  ['answer-retained', 'answer', 'the answer is retained'],
  ['answers-another-message', 'answer', 'a message-response or message-error did not come in 10 s'],
  ['everything-works', 'message-error', 'is a message-response'],
  ['does-it-again', 'repeat', 'the second answer has another message_id than the first'],
  ['silent-when-repeated', 'repeat', 'did not come in 10 s'],
  ['forgets-expired', 'repeat-expired', 'the second answer has another message_id than the first'],
  ['answers-in-memory', 'repeat-after-restart', 'the second answer has another message_id than the first'],
  [
    'silent-when-repeated',
    'unacknowledged-answer',
    'did not come in 10 s; the last that came on this connection: SUBSCRIBE, host-handshake (QoS 1)',
  ],
  ['answers-at-qos-0', 'unacknowledged-answer', 'the answer came at QoS 0'],
  ['takes-answers-for-sent', 'unacknowledged-answer-after-restart', 'did not come in 10 s'],
  ['fails-on-noise', 'ignores', 'the program ended its connection'],
  ['believes-late-errors', 'late-handshake-error', 'the program ended its connection'],
  ['no-wait-when-refused', 'handshake-error', 'it had to wait for 5000 ms'],
  ['no-pause-when-refused', 'handshake-error-pause', 'it had to wait for 1000 ms'],
  ['stays-connected', 'force-disconnect', 'the end of the connection did not come in 10 s'],
  ['no-wait-when-forced', 'force-disconnect', 'it had to wait for 5000 ms'],
  ['no-wait-when-forced', 'force-disconnect-time', 'it had to wait for 5000 ms'],
  ['counts-by-its-clock', 'force-disconnect-time', 'it had to wait for 5000 ms'],
  ['fails-on-unreadable-times', 'force-disconnect-unreadable', 'without a DISCONNECT'],
  ['leaves-handshake', 'goodbye', 'the handshake is still retained'],
  ['goodbye-backwards', 'goodbye', '`offline` came after the empty retained message'],
  ['no-wait-for-pubacks', 'goodbye', 'the DISCONNECT came before the PUBACKs of'],
  ['vanishes', 'goodbye', 'the connection has ended without a DISCONNECT'],
];

type Verdict = Awaited<ReturnType<typeof judge>>[number];
const verdicts = new Map<string, Verdict>();

beforeAll(async () => {
  const waiting = [...FAULTS];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [fault, rule, seen] = next;
      const command = `FAULT=${fault} exec ${process.execPath} ${ROOT}/test/conformance/broken-device.mjs`;
      const timeoutMs = seen.includes('did not come') ? MISSING_MS : TIMEOUT_MS;
      const [verdict] = await judge({ command, directive: 'demo:ping', timeoutMs, protocol }, [rule]);
      if (verdict !== undefined) verdicts.set(`${fault} ${rule}`, verdict);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
});
afterAll(killAll);

it.each(FAULTS)('a device with the fault %s breaks the rule %s', (fault, rule, seen) => {
  expect(verdicts.get(`${fault} ${rule}`)).toEqual({
    rule,
    outcome: 'broken',
    seen: expect.stringContaining(seen) as string,
  });
});

it('each rule is broken by a fault', () => {
  // The pauses of real devices depend on the machine: pauses.spec.ts breaks that rule.
  const broken = new Set([...FAULTS.map(([, rule]) => rule), 'jitter']);
  expect(RULES.map(({ id }) => id).filter((id) => !broken.has(id))).toEqual([]);
});
