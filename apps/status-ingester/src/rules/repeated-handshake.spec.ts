/**
 * A handshake with the recorded id that comes again, without DUP and under a new packet id, as some brokers redeliver: after any
 * history of packets, readings, commands and owners.
 */
import fc from 'fast-check';
import { decodeConnection, encodeConnection, type Command, type Connection, type MailboxMessage } from '@app/registry';
import {
  CLIENT,
  MOVING,
  RULES,
  SECOND,
  SPLIT,
  T0,
  command,
  eventsOf,
  goodbye,
  host,
  known,
  offline,
  packet,
  proxy,
  type PacketMessage,
  type PacketOverrides,
} from '../../../../test/support/transitions.js';
import type { Rules } from './effect.js';
import { agrees } from './retained-reading.js';
import { transition } from './transition.js';

const TWO_LANES: Rules = { ...RULES, lanes: 2, respond: true, eventSettleMs: 5 * SECOND };
const ACCOUNTS: Rules = { ...TWO_LANES, accountOf: () => ({ kind: 'ask' }) };
const cases = [
  ['one lane', RULES],
  ['a status topic of its own', SPLIT],
  ['two status topics', MOVING],
  ['two lanes, replies and coalesced events', TWO_LANES],
  ['accounts', ACCOUNTS],
] as const;

type Step = MailboxMessage | 'another owner';

const ids = ['h-1', 'h-2', 'h-3', 'p-1'] as const;
const commands: readonly Command[] = [
  { do: 'force-disconnect', reconnect_after: 'PT3S' },
  { do: 'force-disconnect', reconnect_after: 'never' },
  { do: 'lift-refusal' },
  { do: 'reconfirm', since: T0 + 5 * SECOND },
  { do: 'flush' },
  { do: 'set-account', account: 'a-1' },
];

function handshake(id: string, given: PacketOverrides): PacketMessage {
  return id.startsWith('h') ? host(id, given, { fqdn: id }) : proxy(id, given);
}

function reading(topic: string, body: string, at: number, isConfirmed: boolean): MailboxMessage {
  const retained = body === '' ? [] : [{ topic, body }];
  return { kind: 'verified', clientId: CLIENT, attempt: '1', retained, isConfirmed, at, id: '1-1' };
}

function stories(rules: Rules): fc.Arbitrary<readonly Step[]> {
  const topic = fc.constantFrom(...rules.statusTopics);
  const lane = fc.nat(rules.lanes - 1);
  const shakes = fc
    .tuple(fc.constantFrom(...ids), topic, lane)
    .map(([id, ...at]) => handshake(id, { topic: at[0], lane: at[1] }));
  const leaves = fc
    .tuple(fc.constantFrom(offline('will'), goodbye('bye'), packet('')), topic, lane)
    .map(([one, ...at]) => ({ ...one, topic: at[0], lane: at[1] }));
  const read = fc
    .tuple(topic, fc.constantFrom('', offline('will').body, ...ids.map((id) => handshake(id, {}).body)), fc.boolean())
    .map(([on, body, isConfirmed]) => reading(on, body, T0, isConfirmed));
  const step = fc.oneof<fc.WeightedArbitrary<Step>[]>(
    { weight: 5, arbitrary: shakes },
    { weight: 3, arbitrary: leaves },
    { weight: 2, arbitrary: read },
    { weight: 2, arbitrary: fc.constantFrom(...commands).map((one) => command(one)) },
    { weight: 1, arbitrary: fc.constant('another owner' as const) },
  );
  return fc.array(step, { minLength: 1, maxLength: 14 });
}

/** @returns the connection after the story, and when that was */
function after(rules: Rules, story: readonly Step[]): { connection: Connection | undefined; at: number } {
  let connection: Connection | undefined;
  let at = T0;
  for (const step of story) {
    at += SECOND;
    if (step !== 'another owner') ({ connection } = transition(connection, { ...step, at }, rules));
    else if (connection !== undefined) connection = decodeConnection(CLIENT, encodeConnection(connection));
  }
  return { connection, at: at + SECOND };
}

describe.each(cases)('a handshake with the recorded id that comes again, with %s,', (_, rules) => {
  const lanes = fc.nat(rules.lanes - 1);

  it('changes nothing for a client that is online, but for its lane and the sign of life', () => {
    fc.assert(
      fc.property(stories(rules), lanes, (story, lane) => {
        const { connection: before, at } = after(rules, story);
        fc.pre(before?.state === 'online');
        const { status_topic: topic, handshake_message_id: id } = known(before);
        const again = handshake(id, { topic, lane, at });
        const { connection, effects } = transition(before, again, rules);
        expect(connection).toEqual({ ...before, lane, last_live_handshake_at: at });
        expect(effects).toEqual(before.lane === lane ? [] : [{ kind: 'verify', reason: 'lanes' }]);
        const verified = transition(connection, reading(topic, again.body, at + 1, true), rules);
        expect(verified.connection).toEqual(connection);
        expect(eventsOf(verified)).toEqual([]);
      }),
      { numRuns: 600 },
    );
  });

  it('of a client that is offline is verified if its lane is not that of the last message, and the reading decides', () => {
    const retained = fc.constantFrom('recorded', 'will', 'nothing');
    fc.assert(
      fc.property(stories(rules), lanes, retained, (story, lane, kind) => {
        const { connection: before, at } = after(rules, story);
        fc.pre(before?.state === 'offline');
        const { status_topic: topic, handshake_message_id: id } = known(before);
        const again = handshake(id, { topic, lane, at });
        const { connection, effects } = transition(before, again, rules);
        const isVerified = effects.some((effect) => effect.kind === 'verify');
        expect(isVerified).toBe(before.lane !== lane);
        const body = { recorded: again.body, will: offline('will').body, nothing: '' }[kind];
        const verified = transition(connection, reading(topic, body, at + 1, true), rules);
        expect(agrees(verified.connection, { topic, body }, at + 1, rules.lanes)).toBe(true);
      }),
      { numRuns: 600 },
    );
  });
});
