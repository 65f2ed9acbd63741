/** What the report says of devices with one fault that shows in many rules. */
import * as protocol from '@app/protocol';
import { ROOT } from '../../scripts/setup.mjs';
import { killAll } from './program.mjs';
import { judge } from './scenarios.mjs';
import { firstToFix, noConnection, onceEach } from './summary.mjs';
import { Trial, type Settings } from './trial.mjs';

/** The devices with these faults never do this, however fast they are. */
const limits = { 'the answer to a message': 1000 };

function settingsOf(fault: string): Settings {
  const command = `FAULTS=${fault} exec ${process.execPath} ${ROOT}/test/conformance/broken-device.mjs`;
  return { command, directive: 'demo:ping', timeoutMs: 60_000, protocol, limits };
}

afterAll(killAll);

test.each([
  ['never answers', 'no-answer', ['answer', 'repeat', 'repeat-expired', 'goodbye'], 'answer'],
  [
    'ends at its first message',
    'fails-on-messages',
    ['answer', 'repeat', 'repeat-expired', 'force-disconnect', 'force-disconnect-never', 'goodbye'],
    'answer',
  ],
  [
    'has a wrong goodbye',
    'leaves-handshake',
    ['handshake-error', 'handshake-error-never', 'force-disconnect', 'goodbye'],
    'goodbye',
  ],
])('a device that %s', async (_what, fault, rules, rule) => {
  const verdicts = await judge(settingsOf(fault), rules);
  expect(verdicts.filter(({ outcome }) => outcome === 'ok')).toEqual([]);
  expect(firstToFix(verdicts)?.rule).toBe(rule);
});

test('a device whose messages are not valid', async () => {
  // The message has come before it is waited for: so it does not matter how fast the machine is.
  const trial = await Trial.create({ ...settingsOf('no-type'), limits: { 'a handshake': 0 } });
  try {
    await trial.broker.listen();
    trial.start();
    const session = await trial.session();
    await session.until(({ cmd }) => cmd === 'publish', AbortSignal.timeout(60_000));
    await expect(trial.handshake(session, 'handshake')).rejects.toThrow('what came is no valid message: a message (');
  } finally {
    await trial.close();
  }
  trial.judgePublished();
  expect(trial.verdicts).toMatchObject([
    { rule: 'handshake', outcome: 'broken', cause: 'envelope' },
    { rule: 'envelope', outcome: 'broken' },
  ]);
});

test('rules without a text have nothing in common', () => {
  const broken = (rule: string) => ({ rule, outcome: 'broken' as const, seen: `no ${rule}` });
  expect(onceEach([broken('client-id'), broken('last-will')]).map(({ printed }) => printed)).toEqual(['', '']);
});

test('of several causes the one that a device comes to first', () => {
  expect(
    firstToFix([
      { rule: 'goodbye', outcome: 'broken' },
      { rule: 'handshake-error', outcome: 'broken', cause: 'goodbye' },
      { rule: 'force-disconnect', outcome: 'broken', cause: 'goodbye' },
      { rule: 'force-disconnect-time', outcome: 'broken', cause: 'goodbye' },
      { rule: 'envelope', outcome: 'broken' },
      { rule: 'answer', outcome: 'broken', cause: 'envelope' },
      { rule: 'puback', outcome: 'not-reached', cause: 'envelope' },
    ]),
  ).toEqual({ rule: 'envelope', others: 2 });
});

test('a cause whose own rule is kept is not to be fixed', () => {
  expect(
    firstToFix([
      { rule: 'force-disconnect', outcome: 'broken', cause: 'goodbye' },
      { rule: 'force-disconnect-time', outcome: 'broken', cause: 'goodbye' },
      { rule: 'force-disconnect-long', outcome: 'broken', cause: 'goodbye' },
      { rule: 'goodbye', outcome: 'ok' },
    ]),
  ).toEqual({ rule: 'force-disconnect', others: 2 });
});

test('faults of their own have no first one', () => {
  expect(
    firstToFix([
      { rule: 'goodbye', outcome: 'broken' },
      { rule: 'handshake-error', outcome: 'broken', cause: 'goodbye' },
      { rule: 'keep-alive', outcome: 'broken' },
      { rule: 'client-id', outcome: 'ok' },
    ]),
  ).toBeUndefined();
});

test('what several rules have in common is said once, with a broken one', () => {
  const [one, two] = [
    'conformance-01a20519-5cd0-7006-bb74-2e9789a614b6',
    'conformance-8cc25938-c267-4544-b411-841c00097d56',
  ];
  const seen = 'no answer came';
  const shown = onceEach([
    { rule: 'client-id', outcome: 'ok' },
    { rule: 'puback', outcome: 'not-reached', seen, printed: `${one}: no`, cause: 'answer' },
    { rule: 'answer', outcome: 'broken', seen, printed: `${two}: no` },
    { rule: 'goodbye', outcome: 'broken', seen: 'no DISCONNECT came', printed: `${one}: no` },
    { rule: 'repeat', outcome: 'broken', seen, printed: `${one}: yes` },
  ]);
  expect(shown.slice(1).map(({ rule, seen: text, printed }) => [rule, text, printed])).toEqual([
    ['puback', 'the same as with answer', ''],
    ['answer', 'no answer came', `${two}: no`],
    ['goodbye', 'no DISCONNECT came', 'the same as with answer'],
    ['repeat', 'the same as with answer', `${one}: yes`],
  ]);
});

test.each(['the program ended before a connection came', 'a connection did not come in 30 s'])(
  'a program that never connects is one fault: %s',
  (seen) => {
    expect(noConnection([{ rule: 'client-id', outcome: 'not-reached', seen }])?.seen).toBe(seen);
    expect(
      noConnection([
        { rule: 'client-id', outcome: 'not-reached', seen },
        { rule: 'keep-alive', outcome: 'ok' },
      ]),
    ).toBeUndefined();
  },
);
