import type { Command, Connection } from '@app/registry';
import {
  CLIENT,
  REPLY,
  RETENTION,
  RULES,
  SECOND,
  T0,
  command,
  eventsOf,
  host,
  known,
  online,
  packet,
  play,
  repliesOf,
} from '../../../../test/support/transitions.js';

describe('a reconfirm command', () => {
  const since = T0 + SECOND;
  const reconfirm = { ...command({ do: 'reconfirm', since }, T0 + 60 * SECOND) };

  it('a reconfirm command takes a client offline that has not shaken hands since the restart of the broker', () => {
    const outcome = play(RULES, online(), reconfirm);
    expect(outcome.connection).toMatchObject({
      ...{ state: 'offline', offline_reason: 'unconfirmed', unconfirmed_handshake: 'h-1' },
      ...{ disconnected_at: T0 + 60 * SECOND, last_message_at: T0 },
    });
    expect(eventsOf(outcome)).toEqual([{ type: 'connection.offline', client_id: CLIENT, reason: 'unconfirmed' }]);
    expect(repliesOf(outcome)).toEqual([{ kind: 'done' }]);
  });

  it('a reconfirm command does nothing for a client that has shaken hands since, or is offline', () => {
    const confirmed = known(play(RULES, online(), host('h-2', { at: since })).connection);
    const gone = known(play(RULES, online(), packet('')).connection);
    for (const connection of [confirmed, gone]) {
      const outcome = play(RULES, connection, reconfirm);
      expect(outcome.connection).toBe(connection);
      expect(outcome.effects).toEqual([{ kind: 'reply', reply: REPLY, outcome: { kind: 'done' } }]);
    }
  });
});

describe('a verify command', () => {
  it('a verify command requests a verification with its reason, its caller and its sweep', () => {
    const asked = play(RULES, undefined, command({ do: 'verify', reason: 'request' }));
    expect(asked).toEqual({ connection: undefined, effects: [{ kind: 'verify', reason: 'request', reply: REPLY }] });
    const verify = { do: 'verify', reason: 'sweep', sweep: 's-1' } as const;
    const swept = { kind: 'command', clientId: CLIENT, command: verify, at: T0, id: '1-1' } as const;
    const connection = online();
    const effects = [{ kind: 'verify', reason: 'sweep', sweep: 's-1' }];
    expect(play(RULES, connection, swept)).toEqual({ connection, effects });
  });
});

describe('a forget command of a to-do', () => {
  const overdue = (at: number) => command({ do: 'forget', overdue: true }, at);
  const gone = known(play(RULES, online(), packet('', { at: T0 + SECOND })).connection);

  it('a forget command of a to-do forgets a client whose retention has ended, with its to-dos', () => {
    const accountOf = () => ({ kind: 'none' }) as const;
    const outcome = play({ ...RULES, accountOf }, gone, overdue(T0 + SECOND + RETENTION));
    expect(outcome.connection).toBeUndefined();
    expect(outcome.effects).toEqual([
      { kind: 'undo', todo: { do: 'forget', client_id: CLIENT } },
      { kind: 'undo', todo: { do: 'account', client_id: CLIENT } },
      { kind: 'reply', reply: REPLY, outcome: { kind: 'done' } },
    ]);
  });

  it('a forget command of a to-do waits for the rest of the retention if the client was online in between', () => {
    const outcome = play(RULES, gone, overdue(T0 + RETENTION));
    expect(outcome.connection).toBe(gone);
    expect(outcome.effects).toContainEqual({
      ...{ kind: 'to-do', todo: { do: 'forget', client_id: CLIENT }, inMs: SECOND },
    });
    expect(repliesOf(outcome)).toMatchObject([{ kind: 'conflict' }]);
  });
});

describe('a command of a to-do for a client that was forgotten', () => {
  it.each<[Command, string]>([
    [{ do: 'forget' }, 'forget'],
    [{ do: 'flush' }, 'flush'],
    [{ do: 'emit-waiting' }, 'emit-waiting'],
    [{ do: 'set-account', account: 'acme' }, 'account'],
  ])('the command %j for a client that was forgotten ends its to-do', (given, kind) => {
    const none: Connection | undefined = undefined;
    const outcome = play(RULES, none, command(given));
    expect(outcome.effects[0]).toEqual({ kind: 'undo', todo: { do: kind, client_id: CLIENT } });
    expect(repliesOf(outcome)).toEqual([{ kind: 'unknown' }]);
  });
});
