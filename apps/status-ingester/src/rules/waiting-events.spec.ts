import type { CommandMessage, Connection } from '@app/registry';
import { fold, type Folded } from '../shard/fold.js';
import type { KnownAccount, Rules, Transition } from './effect.js';
import { transition } from './transition.js';

const CLIENT = 'host-1';
const TOPIC = 'in/{clientId}';

let known: KnownAccount;
let at: number;

beforeEach(() => {
  known = { kind: 'ask' };
  at = 10_000;
});

const rules: Rules = {
  ...{ statusTopics: [TOPIC], inTopic: TOPIC, respond: false, connectionRetentionMs: 1000, lanes: 1 },
  ...{ maxInboundBytes: 10_000, eventSettleMs: 0 },
  accountOf: () => known,
};

type Message = Parameters<typeof transition>[1];

function handshake(id: string, fqdn = 'a'): Message {
  const body = JSON.stringify({
    ...{ type: 'host-handshake', message_id: id, version: 1, sent: '2026-01-01T00:00:00Z' },
    payload: { canonical_facts: { fqdn } },
  });
  return packet(body, true);
}

function goodbye(): Message {
  return packet('{"type":"offline","message_id":"bye","version":1,"sent":"2026-01-01T00:00:00Z"}', false);
}

function refusedHandshake(): Message {
  return packet('{"type":"host-handshake","message_id":"bad","version":1,"sent":"2026-01-01T00:00:00Z"}', false);
}

function packet(body: string, retain: boolean): Message {
  at += 10;
  return { kind: 'packet', clientId: CLIENT, lane: 0, topic: TOPIC, retain, dup: false, body, at, id: `${at}-0` };
}

function command(what: CommandMessage['command']): Message {
  at += 10;
  return { kind: 'command', clientId: CLIENT, command: what, at, id: `${at}-0` };
}

function answer(account: string | null): Message {
  return command({ do: 'set-account', account });
}

/** The connection after these messages, and all events that were emitted: type, account and time. */
class Client {
  connection: Connection | undefined;
  last: Transition = { connection: undefined, effects: [] };

  constructor(before?: Connection) {
    this.connection = before;
  }

  take(message: Message, waitingBytes = 0): unknown[] {
    this.last = transition(this.connection, message, rules, waitingBytes);
    const before = this.connection;
    this.connection = this.last.connection;
    return this.last.effects.flatMap((effect) => {
      if (effect.kind !== 'event') return [];
      const account = effect.account === undefined ? (this.connection ?? before)?.account : effect.account;
      return [[effect.event.type, account]];
    });
  }

  get todos(): unknown[] {
    return this.last.effects.flatMap((effect) =>
      effect.kind === 'to-do' && effect.todo.do === 'emit-waiting' ? [effect.inMs] : [],
    );
  }
}

function clientMessage(id: string): Message {
  const about = { message_id: id, version: 1, sent: '2026-01-01T00:00:00Z' };
  return packet(JSON.stringify({ type: 'message', directive: 'demo:alert', ...about }), false);
}

/** The command that the `emit-waiting` to-do sends. */
function due(): Message {
  at += 2000;
  return command({ do: 'emit-waiting' });
}

it('events wait for the answer about the account, and are emitted with it, in order and with their own time', () => {
  const client = new Client();
  const first = handshake('1');
  expect(client.take(first)).toEqual([]);
  expect(client.todos).toEqual([2000]);
  expect(client.take(handshake('2', 'b'))).toEqual([]);
  expect(client.todos).toEqual([]);
  expect(client.take(goodbye())).toEqual([]);
  expect(client.take(answer('acme'))).toEqual([
    ['connection.online', 'acme'],
    ['connection.updated', 'acme'],
    ['connection.offline', 'acme'],
  ]);
  const emitted = client.last.effects.filter(({ kind }) => kind === 'event');
  expect(emitted.map((effect) => ('at' in effect ? effect.at : undefined))).toEqual([
    first.at,
    first.at + 10,
    first.at + 20,
  ]);
  expect(client.connection?.account_asked).toBeUndefined();
  expect(client.last.effects).toContainEqual({ kind: 'undo', todo: { do: 'emit-waiting', client_id: CLIENT } });
});

it('an answer without an account emits the waiting events without one', () => {
  const client = new Client();
  client.take(handshake('1'));
  expect(client.take(answer(null))).toEqual([['connection.online', null]]);
});

it('a client that comes back keeps its account, and its events wait for the answer all the same', () => {
  const client = new Client();
  client.take(handshake('1'));
  client.take(answer('acme'));
  client.take(goodbye());
  expect(client.take(handshake('2'))).toEqual([]);
  expect(client.connection?.account).toBe('acme');
  expect(client.take(answer('other'))).toEqual([['connection.online', 'other']]);
});

it('events are emitted without an account after two seconds, and the answer emits the state with the account', () => {
  const client = new Client();
  client.take(handshake('1'));
  client.take(handshake('2', 'b'));
  expect(client.take(due())).toEqual([
    ['connection.online', null],
    ['connection.updated', null],
  ]);
  expect(client.take(answer('acme'))).toEqual([['connection.updated', 'acme']]);
});

it('a late answer emits the state also if the account is the old one', () => {
  const client = new Client();
  client.take(handshake('1'));
  client.take(answer('acme'));
  client.take(goodbye());
  client.take(handshake('2'));
  expect(client.take(due())).toEqual([['connection.online', null]]);
  expect(client.take(answer('acme'))).toEqual([['connection.updated', 'acme']]);
  expect(client.take(answer('acme'))).toEqual([]);
});

it('a late answer emits the client as offline if it is offline', () => {
  const client = new Client();
  client.take(handshake('1'));
  client.take(goodbye());
  client.take(due());
  expect(client.take(answer('acme'))).toEqual([['connection.offline', 'acme']]);
});

it('a late answer emits nothing if neither it nor the connection has an account', () => {
  const client = new Client();
  client.take(handshake('1'));
  client.take(due());
  expect(client.take(answer(null))).toEqual([]);
});

it('further events wait for two seconds again after earlier ones were emitted', () => {
  const client = new Client();
  client.take(handshake('1'));
  client.take(due());
  expect(client.take(handshake('2', 'b'))).toEqual([]);
  expect(client.todos).toEqual([2000]);
  expect(client.take(command({ do: 'emit-waiting' }))).toEqual([]);
  expect(client.todos).toEqual([1990]);
  expect(client.take(answer('acme'))).toEqual([['connection.updated', 'acme']]);
});

it('an account that is known at the next handshake ends the waiting', () => {
  const client = new Client();
  client.take(handshake('1'));
  client.take(goodbye());
  known = { kind: 'account', account: 'acme' };
  expect(client.take(handshake('2'))).toEqual([
    ['connection.online', 'acme'],
    ['connection.offline', 'acme'],
    ['connection.online', 'acme'],
  ]);
  expect(client.last.effects).toContainEqual({ kind: 'account-known' });
});

it('an account that is known at the next handshake is emitted once if events were emitted without it', () => {
  const online = new Client();
  online.take(handshake('1'));
  online.take(due());
  known = { kind: 'account', account: 'acme' };
  const offline = new Client(online.connection);
  expect(online.take(handshake('2'))).toEqual([['connection.updated', 'acme']]);
  known = { kind: 'ask' };
  offline.take(goodbye());
  offline.take(due());
  known = { kind: 'account', account: 'acme' };
  expect(offline.take(handshake('3'))).toEqual([['connection.online', 'acme']]);
});

it('events that wait are emitted when the client is forgotten', () => {
  const client = new Client();
  client.take(handshake('1'));
  client.take(goodbye());
  expect(client.take(command({ do: 'forget' }))).toEqual([
    ['connection.online', null],
    ['connection.offline', null],
  ]);
  expect(client.take(due())).toEqual([]);
});

it('the events of refused handshakes wait, in their order too', () => {
  const client = new Client();
  client.take(handshake('1'));
  expect(client.take(refusedHandshake())).toEqual([]);
  expect(client.take(answer('acme'))).toEqual([
    ['connection.online', 'acme'],
    ['connection.refused', 'acme'],
  ]);
});

it("a client's own messages wait among its other events, and say nothing of its state", () => {
  const client = new Client();
  client.take(handshake('1'));
  expect(client.take(clientMessage('c-1'))).toEqual([]);
  expect(client.take(goodbye())).toEqual([]);
  expect(client.take(answer('acme'))).toEqual([
    ['connection.online', 'acme'],
    ['client.message', 'acme'],
    ['connection.offline', 'acme'],
  ]);
  client.take(handshake('2'));
  client.take(due());
  expect(client.take(clientMessage('c-2'))).toEqual([]);
  expect(client.take(answer('other'))).toEqual([
    ['client.message', 'other'],
    ['connection.updated', 'other'],
  ]);
});

it('at most 32 events of a client wait: one more emits all of them', () => {
  const client = new Client();
  for (let i = 0; i < 32; i++) expect(client.take(handshake(`${i}`, `${i}`))).toEqual([]);
  expect(client.take(handshake('33', '33'))).toHaveLength(33);
  expect(client.connection?.account_asked).toEqual({ waiting: [], bytes: 0, is_late: true });
  expect(client.last.effects).toContainEqual({ kind: 'undo', todo: { do: 'emit-waiting', client_id: CLIENT } });
  expect(client.take(answer('acme'))).toEqual([['connection.updated', 'acme']]);
});

it('at most 1 MiB of events of a client wait: one more byte emits all of them', () => {
  const waitingAt = (bytes: number): Client => {
    const client = new Client();
    client.take(handshake('1'));
    const { connection } = client;
    if (connection?.account_asked === undefined) throw new Error('no event waits');
    return new Client({ ...connection, account_asked: { ...connection.account_asked, bytes } });
  };
  const probe = waitingAt(0);
  probe.take(handshake('2', 'b'));
  const more = probe.connection?.account_asked?.bytes ?? NaN;
  expect(waitingAt(1_048_576 - more).take(handshake('2', 'b'))).toEqual([]);
  expect(waitingAt(1_048_577 - more).take(handshake('2', 'b'))).toHaveLength(2);
});

it('an emit-waiting command ends its to-do if no event waits', () => {
  const client = new Client();
  client.take(handshake('1'));
  client.take(answer('acme'));
  const { connection } = client;
  expect(client.take(due())).toEqual([]);
  expect(client.last).toEqual({
    connection,
    effects: [{ kind: 'undo', todo: { do: 'emit-waiting', client_id: CLIENT } }],
  });
});

it('no event waits on a shard on which 16 MiB of events wait', () => {
  const client = new Client();
  expect(client.take(handshake('1'), 16_777_216)).toEqual([['connection.online', null]]);
  expect(client.take(answer('acme'))).toEqual([['connection.updated', 'acme']]);
});

describe('fold, with events that wait', () => {
  function batch(messages: Message[], stored: Connection | undefined, waiting = 0): Folded {
    return fold(messages, new Map([[CLIENT, stored]]), rules, () => 'id', undefined, undefined, undefined, waiting);
  }

  it('a batch counts the bytes of the events that wait', () => {
    const waits = batch([handshake('1'), handshake('2', 'b')], undefined, 100);
    const { account_asked } = waits.connections.get(CLIENT)?.after ?? {};
    expect(account_asked?.bytes).toBeGreaterThan(100);
    expect(waits.waitingBytes).toBe(100 + (account_asked?.bytes ?? 0));
    const stored = waits.connections.get(CLIENT)?.after;
    const answered = batch([answer('acme')], stored, waits.waitingBytes);
    expect(answered.waitingBytes).toBe(100);
    expect(answered.events).toMatchObject([
      { type: 'connection.online', account: 'acme' },
      { type: 'connection.updated', account: 'acme' },
    ]);
    expect(answered.accountsKnown).toMatchObject([{ clientId: CLIENT }]);
    expect(answered.cameOnline).toMatchObject([{ clientId: CLIENT }]);
  });

  it('a batch does not write the count if it did not change', () => {
    expect(batch([handshake('1'), answer('acme')], undefined, 7).waitingBytes).toBeUndefined();
  });
});
