import { endedAtOnce, firstToFix } from './summary.mjs';

const left = 'the connection has ended without a DISCONNECT';
const ended = 'the program ended before a connection came; the program printed last: no such device';

test('one fault in many rules is to be fixed first', () => {
  expect(
    firstToFix([
      { rule: 'handshake-error', outcome: 'broken', seen: left },
      { rule: 'goodbye', outcome: 'broken', seen: `${left}; the program printed last: end` },
      { rule: 'ends-while-away', outcome: 'not-reached', seen: `the rule "force-disconnect-never" is broken: ${left}` },
      { rule: 'keep-alive', outcome: 'broken', seen: 'the keep-alive is 0 s' },
    ]),
  ).toEqual({ rule: 'goodbye', others: 2 });
});

test('faults of their own have no first one', () => {
  expect(
    firstToFix([
      { rule: 'goodbye', outcome: 'broken', seen: left },
      { rule: 'handshake-error', outcome: 'broken', seen: left },
      { rule: 'keep-alive', outcome: 'broken', seen: 'the keep-alive is 0 s' },
      { rule: 'client-id', outcome: 'ok' },
      { rule: 'last-will', outcome: 'ok' },
      { rule: 'envelope', outcome: 'ok' },
    ]),
  ).toBeUndefined();
});

test('a program that ends before it connects is one fault', () => {
  expect(endedAtOnce([{ rule: 'client-id', outcome: 'not-reached', seen: ended }])).toBe(ended);
  expect(
    endedAtOnce([
      { rule: 'client-id', outcome: 'not-reached', seen: ended },
      { rule: 'keep-alive', outcome: 'ok' },
    ]),
  ).toBeUndefined();
});
