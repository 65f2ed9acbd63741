import { decodeMailboxEntry, type Connection, type MailboxMessage } from '@app/registry';
import { hostConnection } from '../../../../test/support/connections.js';
import { BackpressuredMailboxWriter } from './backpressured-mailbox-writer.js';
import { Comparing } from './sweep-comparing.js';
import type { Found } from './sweep-reading.js';

const TOPIC = 'in/{clientId}';
let registry: Map<string, Connection>;
let sent: MailboxMessage[];
let known: Map<string, string>;
/** What comes through the lane after the first look. */
let between: () => void;
/** Mailboxes take at most so many entries at a time. */
let room: number;
let record: { id: string; differing: number; unseen: number };

beforeEach(() => {
  registry = new Map();
  sent = [];
  known = new Map();
  room = 100;
  between = () => undefined;
  record = { id: 'sweep-1', differing: 0, unseen: 0 };
});

function comparing(severalTopics = false): Comparing {
  const { signal } = new AbortController();
  const take = (items: readonly string[]): number => {
    const taken = items.slice(0, room);
    for (const text of taken) sent.push(decodeMailboxEntry({ id: `1-${sent.length}`, text }));
    return taken.length;
  };
  const sender = new BackpressuredMailboxWriter({ sendAll: (_shard, items) => Promise.resolve(take(items)) }, signal);
  return new Comparing(
    {
      barrier: { pass: () => Promise.resolve().then(between) },
      directory: {
        map: (_shard, ids, take) => Promise.resolve(ids.map((id, i) => take(registry.get(id), i))),
        async *online(_shard, pageSize) {
          const online = [...registry.values()].filter(({ state }) => state === 'online');
          const ids = online.map(({ client_id }) => client_id).toSorted();
          for (let from = 0; from < ids.length; from += pageSize) {
            yield await Promise.resolve(ids.slice(from, from + pageSize));
          }
        },
      },
      sweeps: {
        reported: (_shard, clients) =>
          Promise.resolve(new Set([...clients].flatMap(([id, digest]) => (known.get(id) === digest ? [id] : [])))),
        rememberReported: (_shard, clients) => {
          for (const [id, digest] of clients) known.set(id, digest);
          return Promise.resolve();
        },
      },
      shardCount: 1,
      lanes: 1,
      severalTopics,
    },
    record,
    { all: 'sweep-1', unseen: 'unseen-1' },
    sender,
    signal,
  );
}

function found(clientId: string, message_id: string): Found {
  const payload = { canonical_facts: { fqdn: 'host' } };
  const sent = '2020-12-04T17:22:24Z';
  const body = JSON.stringify({ type: 'host-handshake', message_id, version: 1, sent, payload });
  return { clientId, shard: 0, topic: TOPIC, body };
}

it('a sweep passes on each message that differs, as it was read, and no other', async () => {
  registry.set('same', hostConnection('same'));
  const one = found('other', 'm2');
  await comparing().compare([found('same', 'm1'), one], ['7-0']);
  const retained = [{ topic: TOPIC, body: one.body }];
  expect(sent).toMatchObject([{ kind: 'verified', clientId: 'other', sweep: 'sweep-1', noted: '7-0', retained }]);
  expect(record.differing).toBe(1);
});

it('a sweep does not pass on a difference that a live message has corrected', async () => {
  between = () => registry.set('late', hostConnection('late', { handshake_message_id: 'm2' }));
  await comparing().compare([found('late', 'm2')], ['7-0']);
  expect(sent).toEqual([]);
  expect(record.differing).toBe(0);
});

it('a sweep verifies a client that may have a retained message on another topic too', async () => {
  await comparing(true).compare([found('moved', 'm2')], ['7-0']);
  expect(sent).toMatchObject([{ kind: 'command', clientId: 'moved', command: { do: 'verify', sweep: 'sweep-1' } }]);
});

it('a sweep passes on once the retained message of a client that never registered', async () => {
  const foreign = { clientId: 'foreign', shard: 0, topic: TOPIC, body: '{"hello":"world"}' };
  await comparing().compare([foreign], ['7-0']);
  await comparing().compare([foreign], ['7-0']);
  expect(sent.map(({ clientId }) => clientId)).toEqual(['foreign']);
  await comparing().compare([{ ...foreign, body: '{"hello":"again"}' }], ['7-0']);
  expect(sent).toHaveLength(2);
});

it('a sweep waits while a mailbox is full, and loses nothing', async () => {
  room = 2;
  const all = Array.from({ length: 7 }, (_, i) => found(`host-${i}`, 'm2'));
  await comparing().compare(all, ['7-0']);
  expect(sent.map(({ clientId }) => clientId)).toEqual(all.map(({ clientId }) => clientId));
});

describe('a message that would change an online client', () => {
  let sweep: Comparing;
  const one = found('one', 'm2');

  beforeEach(() => {
    registry.set('one', hostConnection('one'));
    sweep = comparing();
  });

  it('is passed on when a second pass brings the same, with the position of the first pass', async () => {
    await sweep.compare([one], ['7-0']);
    expect(sent).toEqual([]);
    expect(record.differing).toBe(0);
    expect(sweep.isAwaited('one')).toBe(true);
    await sweep.compare([one], ['8-0']);
    const retained = [{ topic: TOPIC, body: one.body }];
    expect(sent).toMatchObject([{ kind: 'verified', clientId: 'one', noted: '7-0', isConfirmed: true, retained }]);
    expect(record.differing).toBe(1);
    await sweep.verifyAwaited({ hasSeen: () => true });
    expect(sent).toHaveLength(1);
  });

  it('has its client verified if no second pass has confirmed it', async () => {
    await sweep.compare([one], ['7-0']);
    await sweep.compare([found('one', 'm3')], ['8-0']);
    expect(sent).toEqual([]);
    await sweep.verifyAwaited({ hasSeen: () => true });
    expect(sent).toMatchObject([{ clientId: 'one', command: { do: 'verify', reason: 'sweep', sweep: 'sweep-1' } }]);
    expect(record.differing).toBe(1);
    await sweep.verifyAwaited({ hasSeen: () => true });
    expect(sent).toHaveLength(1);
  });

  it('is forgotten if the last pass did not bring the client, which is then unseen', async () => {
    await sweep.compare([one], ['7-0']);
    await sweep.verifyAwaited({ hasSeen: () => false });
    expect(sent).toEqual([]);
  });

  it('is forgotten if a later pass brings what the registry has', async () => {
    await sweep.compare([one], ['7-0']);
    await sweep.compare([found('one', 'm1')], ['8-0']);
    expect(sweep.isAwaited('one')).toBe(false);
  });

  it('is passed on at once if the client is not online any more', async () => {
    registry.set('one', hostConnection('one', { state: 'offline', offline_reason: 'retained-offline' }));
    await sweep.compare([one], ['7-0']);
    expect(sent).toMatchObject([{ kind: 'verified', clientId: 'one', noted: '7-0' }]);
    expect(sent).not.toContainEqual(expect.objectContaining({ isConfirmed: true }));
  });
});

it('a sweep verifies every online client that it did not see', async () => {
  for (const id of ['seen', 'unseen-1', 'unseen-2', 'returned']) registry.set(id, hostConnection(id));
  registry.set('gone', hostConnection('gone', { state: 'offline' }));
  const changed = ['returned'];
  const reading = { hasSeen: (id: string) => id === 'seen', hasTrace: (id: string) => changed.includes(id) };
  const sweep = comparing();
  await sweep.verifyUnseen(reading);
  expect(sent).toMatchObject([
    { clientId: 'returned', command: { do: 'verify', reason: 'sweep', sweep: 'sweep-1' } },
    { clientId: 'unseen-1', command: { do: 'verify', reason: 'sweep', sweep: 'unseen-1' } },
    { clientId: 'unseen-2', command: { do: 'verify', reason: 'sweep', sweep: 'unseen-1' } },
  ]);
  expect(record.unseen).toBe(3);
  expect(sweep.countReturned(reading)).toBe(0);
  changed.push('unseen-2');
  expect(sweep.countReturned(reading)).toBe(1);
});
