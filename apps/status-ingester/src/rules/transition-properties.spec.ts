import fc from 'fast-check';
import type { Command, Connection, MailboxMessage } from '@app/registry';
import {
  IN,
  STATUS,
  OTHER_STATUS,
  T0,
  SECOND,
  RULES,
  SPLIT,
  MOVING,
  packet,
  host,
  proxy,
  invalidHandshake,
  offline,
  messageError,
  command,
  play,
  online,
  known,
  eventsOf,
  type PacketMessage,
} from '../../../../test/support/transitions.js';
import type { Rules } from './effect.js';
import { transition } from './transition.js';
import { truth } from './truth.js';

/** The input of the properties: everything that can arrive on one status topic, and all commands but `forget`. */
const id = fc.constantFrom('i-1', 'i-2', 'i-3', 'i-4', 'i-5', 'will');
/** The facts depend on the id: a handshake with the recorded id changes nothing, so that other facts would be ignored. */
const factsOf = (messageId: string): object => ({ fqdn: `host of ${messageId}` });
const fresh = { retain: fc.boolean() };
const anyPacket: fc.Arbitrary<PacketMessage> = fc.oneof(
  { weight: 4, arbitrary: id.map((one) => host(one, {}, factsOf(one))) },
  id.map((one) => proxy(`proxy ${one}`)),
  fc.record({ one: id, ...fresh }).map(({ one, retain }) => host(one, { retain }, factsOf(one))),
  fc.record({ one: id, ...fresh }).map(({ one, retain }) => invalidHandshake(one, { retain })),
  fc.record({ one: id, ...fresh }).map(({ one, retain }) => offline(one, { retain })),
  fc.record({ one: id, ...fresh }).map(({ one, retain }) => messageError(one, { retain })),
  fc.record(fresh).map(({ retain }) => packet('', { retain })),
  fc.record(fresh).map(({ retain }) => packet('hello', { retain })),
  fc.record(fresh).map(({ retain }) => packet({ type: 'hello', message_id: 'i-1' }, { retain })),
  fc
    .record({ ...fresh, refused: fc.constantFrom('too-large' as const, 'not-utf8' as const) })
    .map((given) => packet('?', given)),
);
/** A last will: the same text on every connection of the client. */
const constantWill = fc.constant(offline('will'));
const anyCommand = fc
  .constantFrom<Command>(
    { do: 'force-disconnect', reconnect_after: 'PT3S' },
    { do: 'force-disconnect', reconnect_after: 'never' },
    { do: 'lift-refusal' },
  )
  .map((given) => command(given));
const story = fc
  .array(fc.oneof({ weight: 6, arbitrary: anyPacket }, { weight: 1, arbitrary: anyCommand }), {
    minLength: 1,
    maxLength: 12,
  })
  .map((messages) => messages.map((message, i): MailboxMessage => ({ ...message, at: T0 + i * SECOND })));

describe('transition, compared with truth', () => {
  /**
   * Holds for one client on one lane and one status topic, without redeliveries: when the last message that carries state
   * (anything retained, or a goodbye) has been applied, the registry has the state that `truth` computes from what the broker
   * retains, with the refusal in force when that message was stored. Messages without state, and commands, may follow: a
   * force-disconnect itself changes no state.
   * - An unknown client counts as offline.
   * - An online client has exactly this handshake and its facts.
   * - The offline reason is asserted if this message took the client offline; later messages do not change it.
   * - After a goodbye the broker still retains the handshake, so that only `offline` is asserted.
   */
  it('registry and broker agree after any sequence of messages of one client through one lane', () => {
    fc.assert(
      fc.property(story, fc.boolean(), (messages, registered) => {
        let connection = registered ? online() : undefined;
        let expected: { state: string; handshake?: string; facts?: unknown; reason?: string } = {
          state: registered ? 'online' : 'offline',
          ...(registered && { handshake: 'h-1', facts: { fqdn: 'host-1' } }),
        };
        for (const message of messages) {
          const before = connection;
          connection = transition(before, message, RULES).connection;
          const said = message.kind === 'packet' ? stateBorneBy(message, before) : undefined;
          if (said !== undefined) {
            expected = said;
            if (said.reason !== undefined && before?.state === 'online') {
              expect(connection?.offline_reason).toBe(said.reason);
            }
          }
          expect(connection?.state ?? 'offline').toBe(expected.state);
          if (expected.state === 'online') {
            expect(connection).toMatchObject({
              handshake_message_id: expected.handshake,
              facts: expected.facts,
              offline_reason: null,
            });
          } else if (connection !== undefined) {
            expect(connection.offline_reason).not.toBeNull();
            expect(connection.disconnected_at).not.toBeNull();
          }
        }
      }),
      { numRuns: 600 },
    );
  });

  function stateBorneBy(
    { retain, refused, body, at }: PacketMessage,
    before: Connection | undefined,
  ): { state: string; handshake?: string; facts?: unknown; reason?: string } | undefined {
    if (!retain) return body.includes('"offline"') ? { state: 'offline', reason: 'goodbye' } : undefined;
    if (refused !== undefined) return { state: 'offline', reason: 'unknown' };
    const found = truth(body, before, at, 'live');
    if (found.state === 'offline') return { state: 'offline', reason: found.reason };
    const { handshake } = found;
    const facts =
      handshake.type === 'host-handshake' ? handshake.payload.canonical_facts : handshake.payload.catalog_service_facts;
    return { state: 'online', handshake: handshake.message_id, facts };
  }

  /**
   * What the broker redelivers after a crash is a contiguous suffix of what was applied, in the same order. Holds for packets of
   * every kind on one or two status topics and one topic without state, last wills with one id for all connections included,
   * from any start and through any number of crashes: the registry ends as if each packet had come once. Only the times of its
   * connection and of its last message may differ. Some brokers set no DUP flag.
   * - Handshakes with the same id are the same: different ones would violate the protocol.
   * - No command comes in between, since its effect depends on the time of the redelivery.
   */
  it.each([
    ['one topic for everything', RULES],
    ['a status topic of its own', SPLIT],
    ['two status topics, one of them for everything', MOVING],
    ['two status topics of their own', { ...RULES, statusTopics: [STATUS, OTHER_STATUS] }],
  ])('the registry ends the same if the last packets that were applied come again: %s', (_, rules) => {
    const topics = fc.constantFrom(...new Set([...rules.statusTopics, IN]));
    const starts = [undefined, ...rules.statusTopics.flatMap((topic) => [online(rules, topic), away(rules, topic)])];
    const sequence = fc
      .array(
        fc.tuple(fc.oneof({ weight: 3, arbitrary: anyPacket }, constantWill), topics).map(([one, topic]) => ({
          ...one,
          topic,
        })),
        { minLength: 1, maxLength: 10 },
      )
      .map((messages) => messages.map((message, i) => ({ ...message, at: T0 + i * SECOND })));
    const crashes = fc.array(fc.integer({ min: 1, max: 12 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(fc.constantFrom(...starts), sequence, crashes, fc.boolean(), (start, messages, lengths, dup) => {
        const once = play(rules, start, ...messages).connection;
        const applied = [...messages];
        for (const length of lengths) {
          const at = T0 + applied.length * SECOND;
          applied.push(...applied.slice(-length).map((message) => ({ ...message, dup, at })));
        }
        expect(stateOf(play(rules, start, ...applied).connection)).toEqual(stateOf(once));
      }),
      { numRuns: 1500 },
    );
  });

  function away(rules: Rules, topic: string): Connection {
    return known(play(rules, online(rules, topic), offline('o-1', { topic })).connection);
  }

  function stateOf(connection: Connection | undefined): unknown {
    if (connection === undefined) return undefined;
    const { state, type, facts, status_topic, handshake_message_id, offline_reason } = connection;
    return { state, type, facts, status_topic, handshake_message_id, offline_reason };
  }
});

describe('transition', () => {
  function frozen<T>(value: T): T {
    if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(frozen);
    return value;
  }

  it('transition is pure: it does not change its arguments, and gives the same result again', () => {
    fc.assert(
      fc.property(story, (messages) => {
        const before = frozen(play(RULES, online(), ...messages).connection);
        const next = frozen(messages.at(-1) ?? packet(''));
        expect(transition(before, next, RULES)).toEqual(transition(before, next, RULES));
      }),
      { numRuns: 100 },
    );
  });

  it('online and offline events are emitted in turns', () => {
    fc.assert(
      fc.property(story, (messages) => {
        const turns = eventsOf(play(RULES, undefined, ...messages))
          .map(({ type }) => type)
          .filter((type) => type === 'connection.online' || type === 'connection.offline');
        turns.forEach((type, i) => {
          expect(type).toBe(i % 2 === 0 ? 'connection.online' : 'connection.offline');
        });
      }),
      { numRuns: 300 },
    );
  });
});
