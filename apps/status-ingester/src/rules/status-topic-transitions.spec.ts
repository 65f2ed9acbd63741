import {
  CLIENT,
  IN,
  STATUS,
  T0,
  SECOND,
  MOVING,
  packet,
  host,
  invalidHandshake,
  offline,
  goodbye,
  play,
  online,
  known,
  lettersOf,
  todosOf,
  answersOf,
} from '../../../../test/support/transitions.js';

describe('a move between status topics', () => {
  const moved = known(play(MOVING, online(MOVING, IN), host('h-2', { topic: STATUS, at: T0 + SECOND })).connection);

  it('a client that shakes hands on the other status topic moves, and its old retained message is cleared', () => {
    const outcome = play(MOVING, online(MOVING, IN), host('h-2', { topic: STATUS, at: T0 + SECOND }));
    expect(outcome.connection).toMatchObject({
      state: 'online',
      status_topic: STATUS,
      handshake_message_id: 'h-2',
      connected_at: T0,
    });
    expect(outcome.effects).toEqual([
      { kind: 'came-online' },
      { kind: 'to-do', todo: { do: 'clear-retained', client_id: CLIENT, status_topic: IN }, inMs: 5 * SECOND },
      { kind: 'undo', todo: { do: 'clear-retained', client_id: CLIENT, status_topic: STATUS } },
      { kind: 'verify', reason: 'status-topic' },
    ]);
  });

  it('a client that moves back before its old topic was cleared keeps its message there', () => {
    const back = play(MOVING, moved, host('h-3', { topic: IN, at: T0 + 2 * SECOND }));
    expect(back.connection?.status_topic).toBe(IN);
    expect(back.effects).toEqual([
      { kind: 'came-online' },
      { kind: 'to-do', todo: { do: 'clear-retained', client_id: CLIENT, status_topic: STATUS }, inMs: 5 * SECOND },
      { kind: 'undo', todo: { do: 'clear-retained', client_id: CLIENT, status_topic: IN } },
      { kind: 'verify', reason: 'status-topic' },
    ]);
  });

  it('a client moves even if the handshake has the recorded id', () => {
    const outcome = play(MOVING, online(MOVING, IN), host('h-1', { topic: STATUS }));
    expect(outcome.connection?.status_topic).toBe(STATUS);
    expect(todosOf(outcome)).toEqual([{ do: 'clear-retained', client_id: CLIENT, status_topic: IN }]);
  });

  it('a client that comes back on the other status topic moves as well', () => {
    const away = play(MOVING, online(MOVING, IN), offline('o-1')).connection;
    const outcome = play(MOVING, away, host('h-2', { topic: STATUS }));
    expect(outcome.connection).toMatchObject({ state: 'online', status_topic: STATUS });
    expect(todosOf(outcome)).toEqual([{ do: 'clear-retained', client_id: CLIENT, status_topic: IN }]);
  });

  it.each([
    ['a retained offline', offline('o-1', { topic: IN })],
    ['a goodbye', goodbye('o-1', { topic: IN })],
    ['the removal of the handshake', packet('', { topic: IN })],
  ])('%s on the old topic changes nothing after the move', (_, message) => {
    expect(play(MOVING, moved, message)).toEqual({ connection: moved, effects: [] });
  });

  it.each([
    ['an invalid handshake', invalidHandshake('h-9', { topic: IN })],
    ['text that is not JSON', packet('hello', { topic: IN })],
    ['a message too large', packet('x', { topic: IN, refused: 'too-large' })],
  ])('%s on the old topic becomes a dead letter and does not change the state', (_, message) => {
    const outcome = play(MOVING, moved, message);
    expect(outcome.connection).toEqual(moved);
    expect(lettersOf(outcome)).toHaveLength(1);
  });

  it('an offline message on the new topic ends the connection', () => {
    expect(play(MOVING, moved, offline('o-1', { topic: STATUS })).connection?.state).toBe('offline');
  });

  it('no retained message is cleared if the client stays on its topic', () => {
    const outcome = play(
      MOVING,
      moved,
      host('h-3', { topic: STATUS }),
      offline('o-1', { topic: STATUS }),
      host('h-4', { topic: STATUS }),
    );
    expect(todosOf(outcome).map((todo) => todo.do)).toEqual(['forget']);
  });

  it('a client whose handshake on the other status topic is refused does not move', () => {
    const outcome = play(MOVING, online(MOVING, IN), invalidHandshake('h-2', { topic: STATUS }));
    expect(outcome.connection).toEqual(online(MOVING, IN));
    expect(todosOf(outcome)).toEqual([]);
    expect(answersOf(outcome)).toHaveLength(1);
  });
});
