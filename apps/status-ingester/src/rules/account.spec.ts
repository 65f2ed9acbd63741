import type { CommandMessage, Connection } from '@app/registry';
import type { KnownAccount, Rules, Transition } from './effect.js';
import { transition } from './transition.js';

const CLIENT = 'host-1';
const TOPIC = 'in/{clientId}';
const TODO = { do: 'account', client_id: CLIENT } as const;

function rules(known?: KnownAccount): Rules {
  return {
    statusTopics: [TOPIC],
    inTopic: TOPIC,
    respond: false,
    connectionRetentionMs: 1000,
    lanes: 1,
    maxInboundBytes: 10_000,
    eventSettleMs: 0,
    ...(known && { accountOf: () => known }),
  };
}

let at = 1000;

function handshake(before: Connection | undefined, known?: KnownAccount): Transition {
  const body = JSON.stringify({
    ...{ type: 'host-handshake', message_id: `m${at}`, version: 1, sent: '2026-01-01T00:00:00Z' },
    payload: { canonical_facts: { fqdn: 'a' } },
  });
  const packet = { kind: 'packet', clientId: CLIENT, lane: 0, topic: TOPIC, retain: true, dup: false, body } as const;
  return transition(before, { ...packet, at: at++, id: `${at}-0` }, rules(known));
}

function command(before: Connection | undefined, about: Omit<CommandMessage, 'kind' | 'clientId'>): Transition {
  const message = { kind: 'command', clientId: CLIENT, ...about, at: at++, id: `${at}-0` } as const;
  return transition(before, message, rules({ kind: 'ask' }));
}

function setAccount(before: Connection | undefined, account: string | null): Transition {
  return command(before, { command: { do: 'set-account', account } });
}

/** A connection that belongs to this account. */
function connected(account: string | null, state: Connection['state'] = 'online'): Connection {
  const { connection } = handshake(undefined, { kind: 'none' });
  if (connection === undefined) throw new Error('not connected');
  return { ...connection, account, state };
}

it('a client that comes online takes the account that is known, and the resolver is not asked', () => {
  const { connection, effects } = handshake(undefined, { kind: 'account', account: 'acme' });
  expect(connection?.account).toBe('acme');
  expect(effects).toContainEqual({ kind: 'undo', todo: TODO });
});

it('a client that comes online without a known account has none until the resolver answers, and the resolver is asked', () => {
  const { connection, effects } = handshake(undefined, { kind: 'ask' });
  expect(connection).toMatchObject({ state: 'online', account: null });
  expect(effects).toContainEqual({ kind: 'to-do', todo: TODO });
});

it('the resolver is asked again, later, about a client without an account', () => {
  const { connection, effects } = handshake(connected('acme', 'offline'), { kind: 'none' });
  expect(connection?.account).toBeNull();
  expect(effects).toContainEqual({ kind: 'to-do', todo: TODO, inMs: 600_000 });
});

it('a client that comes back keeps its account until the answer says otherwise', () => {
  const { connection, effects } = handshake(connected('acme', 'offline'), { kind: 'ask' });
  expect(connection?.account).toBe('acme');
  expect(effects).toContainEqual({ kind: 'to-do', todo: TODO });
});

it('a client that comes back belongs to the account that the answer names now', () => {
  const { connection } = handshake(connected('acme', 'offline'), { kind: 'account', account: 'other' });
  expect(connection?.account).toBe('other');
});

it('a handshake of an online client does not ask the resolver if the account is known', () => {
  const { connection, effects } = handshake(connected('acme'), { kind: 'ask' });
  expect(connection?.account).toBe('acme');
  expect(effects.filter(({ kind }) => kind === 'to-do')).toEqual([]);
});

it('a connection loses its account if the installation has no accounts', () => {
  expect(handshake(connected('acme', 'offline')).connection?.account).toBeNull();
});

it('an answer sets the account, emits the state to those who see it now, and ends the asking', () => {
  const { connection, effects } = setAccount(connected(null), 'acme');
  expect(connection?.account).toBe('acme');
  expect(effects).toContainEqual({ kind: 'undo', todo: TODO });
  expect(effects).toContainEqual(
    expect.objectContaining({ event: expect.objectContaining({ type: 'connection.updated' }) as unknown }),
  );
});

it('an answer without an account plans another question', () => {
  const { connection, effects } = setAccount(connected('acme'), null);
  expect(connection?.account).toBeNull();
  expect(effects).toContainEqual({ kind: 'to-do', todo: TODO, inMs: 600_000 });
});

it('messages are sent after an answer only if the client is online', () => {
  expect(setAccount(connected(null), 'acme').effects).toContainEqual({ kind: 'came-online' });
  const { effects } = setAccount(connected(null, 'offline'), 'acme');
  expect(effects.map(({ kind }) => kind)).toEqual(['undo', 'account-known']);
});

it('a handshake reports that the account is known if it changed or was being asked for, and not otherwise', () => {
  const reports = (before: Connection, known: KnownAccount): boolean =>
    handshake(before, known).effects.some(({ kind }) => kind === 'account-known');
  const away = connected('acme', 'offline');
  const asked = { ...away, account_asked: { waiting: [], bytes: 0, is_late: false } };
  expect(reports(away, { kind: 'account', account: 'acme' })).toBe(false);
  expect(reports(away, { kind: 'account', account: 'other' })).toBe(true);
  expect(reports(asked, { kind: 'account', account: 'acme' })).toBe(true);
});

it('the same answer again changes nothing and emits nothing', () => {
  const before = connected('acme');
  expect(setAccount(before, 'acme')).toEqual({ connection: before, effects: [{ kind: 'undo', todo: TODO }] });
});

it('an answer for a client that is not known any more ends the asking', () => {
  expect(setAccount(undefined, 'acme')).toEqual({ connection: undefined, effects: [{ kind: 'undo', todo: TODO }] });
});

describe('a command of a caller that is bound to an account', () => {
  const reply = { channel: 'gateway', id: '1' };
  const unknown = { kind: 'reply', reply, outcome: { kind: 'unknown' } };

  it.each(['force-disconnect', 'lift-refusal', 'forget', 'verify'] as const)(
    'a %s command of a bound caller finds nothing if the connection has another account, has none, or does not exist',
    (what) => {
      const wanted = { do: what, reconnect_after: 'never', reason: 'request' } as CommandMessage['command'];
      for (const before of [connected('other'), connected(null), connected('other', 'offline'), undefined]) {
        expect(command(before, { command: wanted, reply, account: 'acme' })).toEqual({
          connection: before,
          effects: [unknown],
        });
      }
      expect(command(connected('acme'), { command: wanted, reply, account: 'acme' }).effects).not.toContainEqual(
        unknown,
      );
    },
  );
});
