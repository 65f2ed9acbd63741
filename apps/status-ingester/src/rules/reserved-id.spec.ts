import type { Connection, ToDo } from '@app/registry';
import { hostConnection } from '../../../../test/support/connections.js';
import {
  ENVELOPE,
  IN,
  REPLY,
  RULES,
  T0,
  answersOf,
  command,
  eventsOf,
  host,
  lettersOf,
  messageError,
  offline,
  packet,
  play,
  repliesOf,
} from '../../../../test/support/transitions.js';
import type { Effect, Transition } from './effect.js';

const ID = 'summary';
const stored = hostConnection(ID, { status_topic: IN });
const details = 'the client id must not be ".", "..", "summary": connect with another one';

function undoneOf({ effects }: Transition): ToDo[] {
  return effects.flatMap((effect: Effect) => (effect.kind === 'undo' ? [effect.todo] : []));
}

function undos(...kinds: ('forget' | 'account' | 'flush' | 'confirm' | 'verify')[]): ToDo[] {
  return kinds.map((kind) => ({ do: kind, client_id: ID }));
}

describe('a client with a reserved id', () => {
  it.each([
    ['retained', true],
    ['not retained', false],
  ])('a handshake of a client with a reserved id is refused with its id if it is %s', (_, retain) => {
    const outcome = play(RULES, undefined, host('h-1', { clientId: ID, retain }));
    expect(outcome.connection).toBeUndefined();
    expect(lettersOf(outcome)).toMatchObject([{ client_id: ID, topic: IN, reason: 'reserved-id', details }]);
    const payload = { details, reason: 'reserved-id', retry_after: 'never' };
    expect(answersOf(outcome)).toEqual([{ type: 'handshake-error', in_response_to: 'h-1', payload }]);
  });

  it('an invalid handshake of a client with a reserved id is refused because of its client id', () => {
    const body = { ...ENVELOPE, type: 'host-handshake', message_id: 'h-1', payload: {} };
    const outcome = play(RULES, undefined, packet(body, { clientId: ID }));
    expect(lettersOf(outcome)).toMatchObject([{ reason: 'reserved-id', details }]);
    expect(answersOf(outcome)).toMatchObject([{ in_response_to: 'h-1' }]);
  });

  it.each([
    ['an offline message', offline('o-1', { clientId: ID })],
    ['a message-error', messageError('e-1', { clientId: ID })],
    ['an empty message', packet('', { clientId: ID })],
    ['a message too large', packet('{"type":"host-handshake"', { clientId: ID, refused: 'too-large' })],
  ])('%s of a client with a reserved id is ignored', (_, message) => {
    expect(play(RULES, undefined, message)).toEqual({ connection: undefined, effects: [] });
  });

  it.each<[Connection['state'], object[]]>([
    ['online', [{ type: 'connection.offline', client_id: ID, reason: 'invalid-handshake' }]],
    ['offline', []],
  ])('an %s connection with a reserved id is removed with its to-dos by the next message', (state, events) => {
    const outcome = play(RULES, { ...stored, state }, packet('', { clientId: ID }));
    expect(outcome.connection).toBeUndefined();
    expect(eventsOf(outcome)).toEqual(events);
    expect(undoneOf(outcome)).toEqual(undos('forget', 'account', 'flush', 'confirm'));
  });

  it.each([
    ['offline', stored],
    ['none', undefined],
  ])(
    'a reading of retained messages for a reserved id refuses its handshake, and reports the change %s',
    (change, before) => {
      const { body } = host('h-1');
      const retained = [
        { topic: IN, body },
        { topic: 'other/{clientId}', body, refused: 'too-large' as const },
      ];
      const reading = { kind: 'verified', clientId: ID, attempt: '1', retained, at: T0, id: '1-1' } as const;
      const outcome = play(RULES, before, reading);
      expect(outcome.connection).toBeUndefined();
      expect(lettersOf(outcome)).toMatchObject([{ client_id: ID, topic: IN, reason: 'reserved-id' }]);
      expect(outcome.effects).toContainEqual({ kind: 'verified', change, answer: { kind: 'unknown' } });
      expect(undoneOf(outcome)).toContainEqual({ do: 'verify', client_id: ID });
    },
  );

  it('a command for a reserved id finds nothing, and a forget or flush command ends its to-do', () => {
    const outcome = (given: Parameters<typeof command>[0]): Transition =>
      play(RULES, undefined, { ...command(given), clientId: ID });
    expect(repliesOf(outcome({ do: 'lift-refusal' }))).toEqual([{ kind: 'unknown' }]);
    expect(outcome({ do: 'lift-refusal' }).effects).toEqual([
      { kind: 'reply', reply: REPLY, outcome: { kind: 'unknown' } },
    ]);
    expect(undoneOf(outcome({ do: 'forget' }))).toEqual(undos('forget'));
    expect(undoneOf(outcome({ do: 'flush' }))).toEqual(undos('flush'));
  });

  it('a command for a reserved id without a waiting caller has no reply', () => {
    const unasked = { kind: 'command', clientId: ID, command: { do: 'lift-refusal' }, at: T0, id: '1-1' } as const;
    expect(play(RULES, undefined, unasked)).toEqual({ connection: undefined, effects: [] });
  });
});
