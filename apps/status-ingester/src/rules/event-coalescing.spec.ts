import type { Connection, MailboxMessage, RegistryEvent } from '@app/registry';
import { transition, type Effect, type Rules } from './transition.js';

const CLIENT = 'host-1';
const IN = 'redhat/insights/in/{clientId}';
const T0 = Date.parse('2024-05-06T07:00:00Z');
const SETTLE = 2000;
const RULES: Rules = {
  statusTopics: [IN],
  inTopic: IN,
  respond: false,
  connectionRetentionMs: 90 * 86_400_000,
  maxInboundBytes: 262_144,
  eventSettleMs: SETTLE,
  lanes: 1,
};
const ENVELOPE = { version: 1, sent: '2020-12-04T17:22:24+00:00' };
const FACTS = { canonical_facts: { fqdn: 'host-1' } };

type Told = RegistryEvent & { after: number };

/** One client's life: what subscribers were told, and when the owner is to tell what is held back. */
class Life {
  connection: Connection | undefined;
  readonly told: Told[] = [];
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

  tells(after: number): this {
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
    if (effect.kind === 'event') this.told.push({ ...effect.event, after });
    if (effect.kind === 'to-do' && effect.todo.do === 'flush') this.due = after + (effect.inMs ?? 0);
    if (effect.kind === 'undo' && effect.todo.do === 'flush') this.due = undefined;
  }
}

type WithoutTime<T> = T extends unknown ? Omit<T, 'at' | 'id'> : never;
type Given = WithoutTime<MailboxMessage>;

it('tells at once of a client that comes, and of one that says goodbye after a while', () => {
  const { told, due } = new Life().shakes(0, 'm-1').saysGoodbye(SETTLE);
  expect(told).toMatchObject([
    { type: 'connection.online', after: 0 },
    { type: 'connection.offline', reason: 'goodbye', after: SETTLE },
  ]);
  expect(due).toBeUndefined();
});

it('a death is told when it has lasted; the registry has it at once', () => {
  const life = new Life().shakes(0, 'm-1').dies(5000);
  expect(life.connection?.state).toBe('offline');
  expect(life.told).toHaveLength(1);
  expect(life.due).toBe(5000 + SETTLE);
  life.tells(5000 + SETTLE);
  expect(life.told.slice(1)).toEqual([
    {
      type: 'connection.offline',
      client_id: CLIENT,
      reason: 'retained-offline',
      changed_at: '2024-05-06T07:00:05.000Z',
      after: 5000 + SETTLE,
    },
  ]);
  expect(life.due).toBeUndefined();
});

it('a reconnect is one update that counts the flaps', () => {
  const life = new Life().shakes(0, 'm-1').dies(5000).shakes(5100, 'm-2');
  life.tells(5000 + SETTLE);
  // The time was put off: it has not settled yet.
  expect(life.told).toHaveLength(1);
  expect(life.due).toBe(5100 + SETTLE);
  life.tells(5100 + SETTLE);
  expect(life.told.slice(1)).toMatchObject([{ type: 'connection.updated', handshake_message_id: 'm-2', flaps: 1 }]);
});

it('one that never settles is told of after ten settle times', () => {
  const life = new Life().shakes(0, 'm-0');
  const [from, step] = [5000, 500];
  for (let i = 0; i < 100; i++) {
    const at = from + i * step;
    if (i % 2 === 0) life.dies(at);
    else life.shakes(at, `m-${i}`);
  }
  expect(life.due).toBe(from + 10 * SETTLE);
});

it('what was held back of a client that is forgotten is told, and nothing is left to be told', () => {
  const life = new Life().shakes(0, 'm-1').dies(5000);
  life.applies(5100, { kind: 'command', clientId: CLIENT, command: { do: 'forget' } });
  expect(life.connection).toBeUndefined();
  expect(life.told.slice(1)).toMatchObject([{ type: 'connection.offline', after: 5100 }]);
  expect(life.due).toBeUndefined();
});

it('tells of new facts at once, and of many changes of them once in the settle time', () => {
  const life = new Life().shakes(0, 'm-1').changes(SETTLE, 'a');
  expect(life.told.map(({ type, after }) => [type, after])).toEqual([
    ['connection.online', 0],
    ['connection.updated', SETTLE],
  ]);
  for (let i = 1; i < 50; i++) life.changes(SETTLE + i * 20, `b-${i}`);
  expect(life.told).toHaveLength(2);
  expect(life.due).toBe(2 * SETTLE);
  life.tells(2 * SETTLE);
  expect(life.told.at(-1)).toMatchObject({ type: 'connection.updated', handshake_message_id: 'b-49' });
  expect(life.told.at(-1)).not.toHaveProperty('flaps');
  expect(life.due).toBeUndefined();
});
