import type { Connection, MailboxMessage, RegistryEvent } from '@app/registry';
import type { Effect, Rules } from './effect.js';
import { transition } from './transition.js';

const CLIENT = 'host-1';
const IN = 'redhat/insights/in/{clientId}';
const T0 = Date.parse('2024-05-06T07:00:00Z');
const QUIET = 2000;
const RULES: Rules = {
  statusTopics: [IN],
  inTopic: IN,
  respond: false,
  connectionRetentionMs: 90 * 86_400_000,
  maxInboundBytes: 262_144,
  eventSettleMs: QUIET,
  lanes: 1,
};
const ENVELOPE = { version: 1, sent: '2020-12-04T17:22:24+00:00' };
const FACTS = { canonical_facts: { fqdn: 'host-1' } };

type Emitted = RegistryEvent & { after: number };

/** The events of one client that subscribers received, and when the owner flushes the coalesced ones. */
class Life {
  connection: Connection | undefined;
  readonly emitted: Emitted[] = [];
  due: number | undefined;

  shakes(after: number, id: string): this {
    return this.packet(after, true, { ...ENVELOPE, type: 'host-handshake', message_id: id, payload: FACTS });
  }

  changes(after: number, fqdn: string): this {
    const payload = { canonical_facts: { fqdn } };
    return this.packet(after, true, { ...ENVELOPE, type: 'host-handshake', message_id: fqdn, payload });
  }

  dies(after: number): this {
    return this.packet(after, true, { ...ENVELOPE, type: 'offline', message_id: 'will' });
  }

  saysGoodbye(after: number): this {
    return this.packet(after, false, { ...ENVELOPE, type: 'offline', message_id: 'bye' });
  }

  flushes(after: number): this {
    return this.applies(after, { kind: 'command', clientId: CLIENT, command: { do: 'flush' } });
  }

  applies(after: number, message: Given): this {
    const { connection, effects } = transition(this.connection, { ...message, at: T0 + after, id: '1-1' }, RULES);
    this.connection = connection;
    for (const effect of effects) this.note(effect, after);
    return this;
  }

  private packet(after: number, retain: boolean, body: unknown): this {
    const about = { kind: 'packet', clientId: CLIENT, lane: 0, topic: IN, dup: false } as const;
    return this.applies(after, { ...about, retain, body: JSON.stringify(body) });
  }

  private note(effect: Effect, after: number): void {
    if (effect.kind === 'event') this.emitted.push({ ...effect.event, after });
    if (effect.kind === 'to-do' && effect.todo.do === 'flush') this.due = after + (effect.inMs ?? 0);
    if (effect.kind === 'undo' && effect.todo.do === 'flush') this.due = undefined;
  }
}

type WithoutTime<T> = T extends unknown ? Omit<T, 'at' | 'id'> : never;
type Given = WithoutTime<MailboxMessage>;

it('a client that comes online, and one that says goodbye after a while, are emitted at once', () => {
  const { emitted, due } = new Life().shakes(0, 'm-1').saysGoodbye(QUIET);
  expect(emitted).toMatchObject([
    { type: 'connection.online', after: 0 },
    { type: 'connection.offline', reason: 'goodbye', after: QUIET },
  ]);
  expect(due).toBeUndefined();
});

it('an ungraceful offline is emitted after the settle time; the registry records it at once', () => {
  const life = new Life().shakes(0, 'm-1').dies(5000);
  expect(life.connection?.state).toBe('offline');
  expect(life.emitted).toHaveLength(1);
  expect(life.due).toBe(5000 + QUIET);
  life.flushes(5000 + QUIET);
  expect(life.emitted.slice(1)).toEqual([
    {
      type: 'connection.offline',
      client_id: CLIENT,
      reason: 'retained-offline',
      changed_at: '2024-05-06T07:00:05.000Z',
      after: 5000 + QUIET,
    },
  ]);
  expect(life.due).toBeUndefined();
});

it('a reconnect is emitted as one update that counts the flaps', () => {
  const life = new Life().shakes(0, 'm-1').dies(5000).shakes(5100, 'm-2');
  life.flushes(5000 + QUIET);
  // The flush was postponed: the connection is not stable yet.
  expect(life.emitted).toHaveLength(1);
  expect(life.due).toBe(5100 + QUIET);
  life.flushes(5100 + QUIET);
  expect(life.emitted.slice(1)).toMatchObject([{ type: 'connection.updated', handshake_message_id: 'm-2', flaps: 1 }]);
});

it('the state of a client that never becomes stable is emitted after ten settle times', () => {
  const life = new Life().shakes(0, 'm-0');
  const [from, step] = [5000, 500];
  for (let i = 0; i < 100; i++) {
    const at = from + i * step;
    if (i % 2 === 0) life.dies(at);
    else life.shakes(at, `m-${i}`);
  }
  expect(life.due).toBe(from + 10 * QUIET);
});

it('a flush that comes before its time is planned again', () => {
  const life = new Life().shakes(0, 'm-1').dies(5000);
  life.due = undefined;
  life.flushes(5500);
  expect(life.emitted).toHaveLength(1);
  expect(life.due).toBe(5000 + QUIET);
});

it('a flush counts as an event: a change soon after it waits for the settle time', () => {
  const life = new Life().shakes(0, 'm-1').dies(5000).flushes(7000);
  expect(life.connection).toMatchObject({ state: 'offline', coalesced: null, last_event_at: T0 + 7000 });
  life.shakes(7500, 'm-2');
  expect(life.emitted).toHaveLength(2);
  expect(life.due).toBe(7500 + QUIET);
});

it('only the event of a change is coalesced, and its other effects are kept', () => {
  const { connection } = new Life().shakes(0, 'm-1');
  const body = JSON.stringify({ ...ENVELOPE, type: 'offline', message_id: 'will' });
  const about = { kind: 'packet', clientId: CLIENT, lane: 0, topic: IN, dup: false, retain: true } as const;
  const { effects } = transition(connection, { ...about, body, at: T0 + 5000, id: '1-1' }, RULES);
  expect(effects).toEqual([
    { kind: 'to-do', todo: { do: 'forget', client_id: CLIENT }, inMs: RULES.connectionRetentionMs },
    { kind: 'to-do', todo: { do: 'flush', client_id: CLIENT }, inMs: QUIET },
  ]);
});

it('coalesced events are emitted when the client is forgotten, and none is left', () => {
  const life = new Life().shakes(0, 'm-1').dies(5000);
  life.applies(5100, { kind: 'command', clientId: CLIENT, command: { do: 'forget' } });
  expect(life.connection).toBeUndefined();
  expect(life.emitted.slice(1)).toMatchObject([{ type: 'connection.offline', after: 5100 }]);
  expect(life.due).toBeUndefined();
});

it('new facts are emitted at once, and many changes of them once in the settle time', () => {
  const life = new Life().shakes(0, 'm-1').changes(QUIET, 'a');
  expect(life.emitted.map(({ type, after }) => [type, after])).toEqual([
    ['connection.online', 0],
    ['connection.updated', QUIET],
  ]);
  for (let i = 1; i < 50; i++) life.changes(QUIET + i * 20, `b-${i}`);
  expect(life.emitted).toHaveLength(2);
  expect(life.due).toBe(2 * QUIET);
  life.flushes(2 * QUIET);
  expect(life.emitted.at(-1)).toMatchObject({ type: 'connection.updated', handshake_message_id: 'b-49' });
  expect(life.emitted.at(-1)).not.toHaveProperty('flaps');
  expect(life.due).toBeUndefined();
});
