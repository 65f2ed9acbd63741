/** What a client says while its account is being asked for. */
import {
  RegistryKeys,
  connectionWrites,
  type AccountLookup,
  type Connection,
  type MailboxMessage,
} from '@app/registry';
import { fold } from '../shard/fold.js';
import {
  CLIENT,
  IN,
  RULES,
  T0,
  command,
  goodbye,
  host,
  known as knownConnection,
  lettersOf,
  messageError,
  messageProgress,
  messageResponse,
  notesOf,
  packet,
  ENVELOPE,
  type PacketMessage,
} from '../../../../test/support/transitions.js';
import type { Effect, KnownAccount, Rules, Transition } from './effect.js';
import { transition } from './transition.js';

const ACCOUNTS: Rules = { ...RULES, accountOf: (): KnownAccount => ({ kind: 'ask' }) };
const MINUTE = 60_000;

let connection: Connection | undefined;

function take(message: MailboxMessage, waitingBytes = 0): Transition {
  const outcome = transition(connection, message, ACCOUNTS, waitingBytes);
  connection = outcome.connection;
  return outcome;
}

/** What came out of a transition, in order: events with their accounts, and what is reported about messages. */
function released({ effects }: Transition): unknown[] {
  return effects.flatMap((effect: Effect): unknown[] => {
    if (effect.kind === 'event') return [[effect.event.type, effect.account]];
    if (effect.kind === 'answer') return [[effect.answer.messageId, effect.at]];
    return effect.kind === 'progress' ? [[effect.progress.messageId, effect.at]] : [];
  });
}

function wakesOf({ effects }: Transition): unknown[] {
  return effects.flatMap((effect): unknown[] => {
    if (effect.kind === 'undo' && effect.todo.do === 'emit-waiting') return ['never'];
    return effect.kind === 'to-do' && effect.todo.do === 'emit-waiting' ? [effect.inMs] : [];
  });
}

function said(id: string, at = T0): PacketMessage {
  return packet({ ...ENVELOPE, type: 'message', message_id: id, directive: 'demo:alert' }, { retain: false, at });
}

function accountIs(account: string | null, at = T0): MailboxMessage {
  return command({ do: 'set-account', account }, at);
}

function due(at: number): MailboxMessage {
  return command({ do: 'emit-waiting' }, at);
}

function asked(): AccountLookup {
  const { account_asked } = knownConnection(connection);
  if (account_asked === undefined) throw new Error('no account is being asked for');
  return account_asked;
}

beforeEach(() => (connection = undefined));

describe('what a client says while its account is being asked for', () => {
  it('answers, progress, messages and events wait for the account in one order, and keep their times', () => {
    const waited = [
      host('h-1'),
      messageProgress('p-1', { percent: 1 }, { at: T0 + 1 }),
      said('c-1', T0 + 2),
      messageResponse('r-1', { at: T0 + 3 }),
      goodbye('o-1', { at: T0 + 4 }),
      messageError('e-1', { at: T0 + 5 }),
    ];
    for (const message of waited) expect(released(take(message))).toEqual([]);
    const outcome = take(accountIs('acme', T0 + 10));
    expect(released(outcome)).toEqual([
      ['connection.online', 'acme'],
      ['p-1', T0 + 1],
      ['client.message', 'acme'],
      ['r-1', T0 + 3],
      ['connection.offline', 'acme'],
      ['e-1', T0 + 5],
    ]);
    expect(wakesOf(outcome)).toEqual(['never']);
    expect(connection).not.toHaveProperty('account_asked');
    expect(released(take(messageResponse('r-2')))).toEqual([['r-2', undefined]]);
  });

  it('after two seconds the events about the connection go without an account, and what the client says waits on', () => {
    take(host('h-1'));
    expect(wakesOf(take(messageResponse('r-1')))).toEqual([]);
    take(said('c-1'));
    const early = take(due(T0 + 1999));
    expect([released(early), wakesOf(early)]).toEqual([[], [1]]);
    const outcome = take(due(T0 + 2000));
    expect(released(outcome)).toEqual([['connection.online', null]]);
    expect(wakesOf(outcome)).toEqual([MINUTE - 2000]);
    expect(asked()).toMatchObject({
      is_late: true,
      waiting: [{ answer: { messageId: 'r-1' } }, { event: { message_id: 'c-1' } }],
    });
    expect(released(take(accountIs('acme')))).toEqual([
      ['r-1', T0],
      ['client.message', 'acme'],
      ['connection.updated', 'acme'],
    ]);
  });

  it('a late event about the connection is due before what the client has said', () => {
    take(host('h-1'));
    take(due(T0 + 2000));
    expect(wakesOf(take(messageResponse('r-1', { at: T0 + 3000 })))).toEqual([MINUTE]);
    expect(wakesOf(take(goodbye('o-1', { at: T0 + 4000 })))).toEqual([2000]);
  });

  it('after a minute what the client says is a dead letter, and the histories of the messages say so', () => {
    take(host('h-1'));
    take(messageResponse('r-1'));
    take(messageError('e-1'));
    take(messageProgress('p-1', { percent: 1 }));
    take(said('c-1'));
    take(messageResponse('r-2', { at: T0 + 1 }));
    take(due(T0 + 2000));
    const outcome = take(due(T0 + MINUTE));
    expect(released(outcome)).toEqual([]);
    const details = 'the account of this client did not become known within a minute';
    expect(lettersOf(outcome)).toMatchObject(
      ['r-1', 'e-1', 'p-1', 'c-1'].map((id) => ({
        ...{ client_id: CLIENT, topic: IN, reason: 'account-unknown', details },
        sample: expect.stringContaining(`"message_id":"${id}"`) as string,
      })),
    );
    const note = { inResponseTo: 'sent-1', details: `an answer did not count: ${details}` };
    expect(notesOf(outcome)).toEqual([note, note]);
    expect(wakesOf(outcome)).toEqual([1]);
    expect(released(take(accountIs('acme', T0 + MINUTE)))).toEqual([
      ['r-2', T0 + 1],
      ['connection.updated', 'acme'],
    ]);
  });

  it('at most 32 entries wait: events make room, and then what is newest is a dead letter', () => {
    take(host('h-1'));
    for (let i = 1; i < 32; i++) expect(released(take(messageResponse(`r-${i}`)))).toEqual([]);
    expect(released(take(messageResponse('r-32')))).toEqual([['connection.online', null]]);
    const refused = take(messageResponse('r-33'));
    expect(released(refused)).toEqual([]);
    expect(lettersOf(refused)).toMatchObject([
      { reason: 'account-unknown', sample: expect.stringContaining('r-33') as string },
    ]);
    expect(notesOf(refused)).toHaveLength(1);
    expect(released(take(goodbye('o-1')))).toEqual([['connection.offline', null]]);
    expect(released(take(accountIs('acme'))).slice(0, -1)).toEqual(
      Array.from({ length: 32 }, (_, i) => [`r-${i + 1}`, T0]),
    );
  });

  it('at most 1 MiB of a client waits, and at most 16 MiB of a shard', () => {
    const large = (id: string, bytes: number): PacketMessage => messageResponse(id, {}, { payload: 'x'.repeat(bytes) });
    take(host('h-1'));
    expect(lettersOf(take(large('r-1', 1_000_000)))).toEqual([]);
    expect(lettersOf(take(large('r-2', 100_000)))).toMatchObject([{ reason: 'account-unknown' }]);
    expect(lettersOf(take(large('r-3', 10_000)))).toEqual([]);
    expect(asked().bytes).toBe(asked().waiting.reduce((sum, entry) => sum + JSON.stringify(entry).length, 0));
    const free = 16_777_216 - asked().bytes - 20_000;
    expect(lettersOf(take(large('r-4', 19_000), asked().bytes + free))).toEqual([]);
    expect(lettersOf(take(large('r-5', 19_000), asked().bytes + free))).toMatchObject([{ reason: 'account-unknown' }]);
  });

  it('what a client said is reported when it is forgotten', () => {
    take(host('h-1'));
    take(messageResponse('r-1'));
    take(goodbye('o-1'));
    expect(released(take(command({ do: 'forget' })))).toEqual([
      ['connection.online', null],
      ['r-1', T0],
      ['connection.offline', null],
    ]);
  });

  it('events and reports of a client are written in the order in which it caused them', () => {
    const batch = [host('h-1'), messageResponse('r-1'), goodbye('o-1'), messageProgress('p-1', { percent: 1 })];
    const folded = fold(batch, new Map([[CLIENT, undefined]]), RULES, () => 'id');
    const keys = new RegistryKeys('cc');
    const written = connectionWrites(keys, 0, folded).flatMap((act): unknown[] => {
      if ('report' in act) return [act.report[0]];
      return 'stream' in act ? [(JSON.parse(String(act.fields[3])) as { type: string }).type] : [];
    });
    expect(written).toEqual(['connection.online', 'answer', 'connection.offline', 'progress']);
  });

  it('a batch counts the bytes of what waits, and reports what is released with the time at which it came', () => {
    const stored = new Map([[CLIENT, undefined]]);
    const waits = fold([host('h-1'), messageResponse('r-1', { at: T0 + 1 })], stored, ACCOUNTS, () => 'id');
    const after = waits.connections.get(CLIENT)?.after;
    expect(waits.reports).toEqual([]);
    expect(waits.waitingBytes).toBe(after?.account_asked?.bytes);
    const answered = fold([accountIs('acme', T0 + 9)], new Map([[CLIENT, after]]), ACCOUNTS, () => 'id');
    expect(answered.reports).toMatchObject([
      { kind: 'answer', clientId: CLIENT, at: T0 + 1, answer: { messageId: 'r-1' } },
    ]);
  });
});
