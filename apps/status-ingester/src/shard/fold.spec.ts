import { TODO_GRACE_MS, encodeToDo, type Command, type MailboxMessage, type ToDo } from '@app/registry';
import {
  IN,
  STATUS,
  T0,
  RETENTION,
  OFFLINE,
  packet,
  handshake,
  command,
  response,
  faulty,
  foldAll,
  storedAfter,
} from '../../../../test/support/folds.js';

describe('fold', () => {
  it('an empty batch writes nothing', () => {
    expect(foldAll([])).toEqual({
      connections: new Map(),
      events: [],
      deadLetters: [],
      reports: [],
      reasons: [],
      refused: [],
      dropped: { events: 0, deadLetters: 0 },
      todos: [],
      withdrawn: [],
      cameOnline: [],
      immediate: [],
      verificationRequests: [],
      verificationResults: [],
      swept: [],
      lastLive: new Map(),
      replies: [],
      accountsKnown: [],
      waitingBytes: undefined,
    });
  });

  it('the messages of a client are applied in order, each to the state the one before left', () => {
    const { connections, events } = foldAll([
      handshake('a', 'm-1', { at: T0 }),
      packet('a', OFFLINE, { at: T0 + 1 }),
      handshake('a', 'm-2', { at: T0 + 2 }),
    ]);
    expect(connections.get('a')?.after).toMatchObject({
      state: 'online',
      connected_at: T0 + 2,
      disconnected_at: T0 + 1,
    });
    expect(events.map(({ type, at }) => [type, at])).toEqual([
      ['connection.online', T0],
      ['connection.offline', T0 + 1],
      ['connection.online', T0 + 2],
    ]);
  });

  it('a message of one client does not change another client', () => {
    const stored = storedAfter(handshake('a'), handshake('b'));
    const { connections, events } = foldAll([packet('a', OFFLINE), handshake('c')], stored);
    expect([...connections.keys()]).toEqual(['a', 'c']);
    expect(connections.get('a')?.after?.state).toBe('offline');
    expect(connections.get('c')?.after?.facts).toEqual({ fqdn: 'c m-1' });
    expect(events.map(({ client_id }) => client_id)).toEqual(['a', 'c']);
  });

  it('the state before the batch is reported, not the state before the last message', () => {
    const stored = storedAfter(handshake('a'));
    const { connections } = foldAll([packet('a', OFFLINE), handshake('a', 'm-2'), handshake('a', 'm-3')], stored);
    expect(connections.get('a')?.before).toBe(stored.get('a'));
    expect(foldAll([handshake('b', 'm-1'), handshake('b', 'm-2')]).connections.get('b')?.before).toBeUndefined();
  });

  it('a connection that did not change is not listed', () => {
    const stored = storedAfter(handshake('a'));
    const { connections, deadLetters } = foldAll([handshake('a'), packet('a', 'hello', { retain: false })], stored);
    expect(connections.size).toBe(0);
    expect(deadLetters).toHaveLength(1);
  });

  it('a connection that was forgotten is listed as removed', () => {
    const stored = storedAfter(handshake('a'), packet('a', OFFLINE));
    const { connections, withdrawn, replies } = foldAll([command('a', { do: 'forget' })], stored);
    expect(connections.get('a')).toEqual({ before: stored.get('a'), after: undefined });
    expect(withdrawn).toContainEqual({ do: 'forget', client_id: 'a' });
    expect(replies).toEqual([{ reply: { channel: 'gateway-1', id: `a ${T0}` }, outcome: { kind: 'done' } }]);
  });

  it('a client that was forgotten in the batch does not get its stored state back in the same batch', () => {
    const stored = storedAfter(handshake('a'), packet('a', OFFLINE));
    const { connections } = foldAll([command('a', { do: 'forget' }), handshake('a', 'm-2', { at: T0 + 9 })], stored);
    expect(connections.get('a')?.before).toBe(stored.get('a'));
    expect(connections.get('a')?.after).toMatchObject({ disconnected_at: null });
  });

  it('dead letters and events carry the time at which their message was stored', () => {
    const { deadLetters } = foldAll([packet('a', 'hello', { retain: false, at: T0 + 7 })]);
    expect(deadLetters).toMatchObject([{ client_id: 'a', reason: 'not-json', at: T0 + 7 }]);
  });

  it('an answer runs at once, and again after the grace time if it is still needed', () => {
    const { todos, immediate } = foldAll([
      handshake('a', 'm-1', { at: T0 + 1 }),
      handshake('b', 'm-9', { at: T0 + 2 }),
    ]);
    expect(immediate).toEqual(todos);
    expect(todos).toMatchObject([
      { todo: { do: 'reply', client_id: 'a', reply: response('m-1') }, due: T0 + 1 + TODO_GRACE_MS },
      { todo: { do: 'reply', client_id: 'b', reply: response('m-9') }, due: T0 + 2 + TODO_GRACE_MS },
    ]);
    expect(new Set(todos.map(({ todo }) => 'message_id' in todo && todo.message_id)).size).toBe(2);
  });

  it('the newest answer of each kind to a client is kept; the earlier ones are undone', () => {
    const disconnect: Command = { do: 'force-disconnect', reconnect_after: 'PT0S' };
    const first = [handshake('a', 'm-1'), command('a', disconnect)];
    const messages = [
      handshake('a', 'm-2', { at: T0 + 2 }),
      handshake('a', 'm-3', { at: T0 + 3 }),
      command('a', disconnect, T0 + 4),
    ];
    const { todos, immediate, withdrawn } = foldAll(messages, storedAfter(...first));
    const newest = [
      { answer: response('m-3'), due: T0 + 3 + TODO_GRACE_MS },
      { answer: { type: 'force-disconnect' }, due: T0 + 4 + TODO_GRACE_MS },
    ].map(({ answer, due }) => ({ todo: { do: 'reply', reply: answer }, due }));
    expect(todos).toMatchObject(newest);
    expect(immediate).toEqual(todos);
    const waited = foldAll(first).todos.map(({ todo }) => encodeToDo(todo));
    expect(waited).toHaveLength(2);
    // With the text with which they were written: otherwise they would not be removed.
    expect(withdrawn.map(encodeToDo)).toEqual(expect.arrayContaining(waited));
    const of = (all: typeof todos): unknown[] => all.map(({ todo }) => 'message_id' in todo && todo.message_id);
    expect(of(todos)).not.toEqual(of(foldAll(first).todos));
  });

  it('the answers to a client that is forgotten are undone', () => {
    const first = [handshake('a', 'm-1'), command('a', { do: 'force-disconnect', reconnect_after: 'PT0S' })];
    const before = storedAfter(...first, packet('a', OFFLINE));
    const { withdrawn } = foldAll([command('a', { do: 'forget' }, T0 + 1)], before);
    for (const { todo } of foldAll(first).todos) expect(withdrawn).toContainEqual(todo);
  });

  it('the force-disconnect of a client that went and came back is undone, and is no longer recorded', () => {
    const first = [handshake('a', 'm-1'), command('a', { do: 'force-disconnect', reconnect_after: 'PT0S' })];
    const [, disconnect] = foldAll(first).todos;
    const stays = foldAll([handshake('a', 'm-2', { at: T0 + 1 })], storedAfter(...first));
    expect(stays.withdrawn).not.toContainEqual(disconnect?.todo);
    const back = [packet('a', OFFLINE, { at: T0 + 1 }), handshake('a', 'm-2', { at: T0 + 2 })];
    const { withdrawn, connections } = foldAll(back, storedAfter(...first));
    expect(withdrawn).toContainEqual(disconnect?.todo);
    expect(connections.get('a')?.after).not.toHaveProperty('force_disconnect');
  });

  it('a to-do with a later time does not run at once', () => {
    const { todos, immediate } = foldAll([packet('a', OFFLINE, { at: T0 + 5 })], storedAfter(handshake('a')));
    expect(todos).toEqual([{ todo: { do: 'forget', client_id: 'a' }, due: T0 + 5 + RETENTION }]);
    expect(immediate).toEqual([]);
  });

  it('the last message of a batch decides whether a client is to be forgotten', () => {
    const forget = { do: 'forget', client_id: 'a' };
    const stored = storedAfter(handshake('a'));
    const back = foldAll([packet('a', OFFLINE), handshake('a', 'm-2')], stored);
    expect(back.withdrawn).toContainEqual(forget);
    expect(back.todos.map(({ todo }) => todo.do)).not.toContain('forget');
    const gone = foldAll([handshake('b'), packet('b', OFFLINE, { at: T0 + 3 })]);
    expect(gone.withdrawn).toEqual([]);
    expect(gone.todos).toContainEqual({ todo: { do: 'forget', client_id: 'b' }, due: T0 + 3 + RETENTION });
  });

  it('each client that came online is listed once, also if it came online again', () => {
    const { cameOnline } = foldAll([
      handshake('a', 'm-1', { at: T0 }),
      handshake('b', 'm-1', { at: T0 + 1 }),
      packet('a', OFFLINE, { at: T0 + 2 }),
      handshake('a', 'm-2', { at: T0 + 3 }),
    ]);
    expect(cameOnline).toEqual([{ clientId: 'a' }, { clientId: 'b' }]);
  });

  it('a retained message on an old topic is cleared only if the client did not come back to it in the same batch', () => {
    const stored = storedAfter(handshake('a', 'm-1', { topic: IN }));
    const [there, back] = [handshake('a', 'm-2', { topic: STATUS }), handshake('a', 'm-3', { topic: IN, at: T0 + 4 })];
    const clear = (status_topic: string): ToDo => ({ do: 'clear-retained', client_id: 'a', status_topic });
    const moved = foldAll([there], stored);
    expect(moved.todos).toContainEqual({ todo: clear(IN), due: T0 + 5000 });
    expect(moved.withdrawn).toContainEqual(clear(STATUS));
    expect(moved.immediate.map(({ todo }) => todo)).not.toContainEqual(clear(IN));
    const returned = foldAll([there, back], stored);
    expect(returned.todos).toContainEqual({ todo: clear(STATUS), due: T0 + 5004 });
    expect(returned.withdrawn).toContainEqual(clear(IN));
  });

  it('a message that cannot be applied becomes a dead letter, and the other messages are applied', () => {
    const stored = storedAfter(handshake('a'));
    const { connections, deadLetters, events, todos } = foldAll(
      [handshake('b'), faulty('a', 'hello'), packet('a', OFFLINE, { at: T0 + 2 }), handshake('c')],
      stored,
    );
    expect(deadLetters).toEqual([
      {
        client_id: 'a',
        topic: IN,
        reason: 'internal-error',
        details: 'could not be applied: a fault of ours',
        sample: 'hello',
        at: T0,
      },
    ]);
    expect(connections.get('a')?.before).toBe(stored.get('a'));
    expect(connections.get('a')?.after).toMatchObject({ state: 'offline', handshake_message_id: 'm-1' });
    expect(connections.get('b')?.after?.state).toBe('online');
    expect(connections.get('c')?.after?.state).toBe('online');
    expect(events.map(({ type, client_id }) => [type, client_id])).toEqual([
      ['connection.online', 'b'],
      ['connection.offline', 'a'],
      ['connection.online', 'c'],
    ]);
    expect(todos.flatMap(({ todo }) => (todo.do === 'reply' ? [todo.client_id] : []))).toEqual(['b', 'c']);
  });

  it('a command that cannot be applied becomes a dead letter with its text', () => {
    const stored = storedAfter(handshake('a'));
    // Decoded from a mailbox entry whose body is `{}`.
    const broken = { kind: 'command', clientId: 'a', at: T0 + 1 } as MailboxMessage;
    const { deadLetters, connections, replies } = foldAll([broken, command('a', { do: 'lift-refusal' })], stored);
    expect(deadLetters).toMatchObject([
      { client_id: 'a', topic: '', reason: 'internal-error', sample: JSON.stringify(broken), at: T0 + 1 },
    ]);
    expect(connections.get('a')?.after).toMatchObject({ state: 'online', refused_until: null });
    expect(replies.map(({ outcome }) => outcome)).toEqual([{ kind: 'done' }]);
  });

  it('a dead letter keeps no more than 1,024 characters of its message', () => {
    expect(foldAll([faulty('a', 'x'.repeat(5000))]).deadLetters[0]?.sample).toBe('x'.repeat(1024));
  });

  it('fold does not change its arguments', () => {
    const stored = storedAfter(handshake('a'));
    const before = JSON.stringify([...stored]);
    foldAll([handshake('a', 'm-2'), packet('a', OFFLINE), handshake('b')], stored);
    expect(JSON.stringify([...stored])).toBe(before);
  });
});
