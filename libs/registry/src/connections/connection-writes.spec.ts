import type { Redis } from '@app/platform';
import type { Grant } from '@app/sharding';
import { batchOf, hostConnection } from '../../../../test/support/connections.js';
import { withRedis } from '../../../../test/support/redis.js';
import { FencedCommit, MAX_WRITE_ARGS, type CommitAct } from '../commits/fenced-commit.js';
import { type Connection } from './connection.js';
import { ConnectionDirectory } from './connection-directory.js';
import { connectionWrites, type BatchChanges, type ConnectionChange } from './connection-writes.js';
import { OFFLINE_REASONS } from '../connection-state.js';
import { eventStreams } from '../events/event-log.js';
import { factTerm, type SearchableFact } from './fact-index.js';
import { RegistryKeys } from '../keys.js';
import { encodeToDo, type ToDo } from '../todos/to-do.js';

let redis: Redis;
let keys: RegistryKeys;
let directory: ConnectionDirectory;
let keySpaces = 0;
let position: string;

const GRANT: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:boot' };

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  keys = new RegistryKeys(`writes${keySpaces++}`);
  directory = new ConnectionDirectory(redis, keys, 1);
  position = '0-0';
  await redis.set(keys.owner(GRANT), GRANT.fence);
});

function writesOf(changes: Partial<BatchChanges>): CommitAct[] {
  return connectionWrites(keys, 0, batchOf(changes));
}

async function commit(changes: Partial<BatchChanges>): Promise<boolean[]> {
  const to = `${Number(position.split('-')[0]) + 1}-0`;
  const outcome = await new FencedCommit(redis, keys).commit(GRANT, position, to, writesOf(changes));
  position = to;
  return outcome.kind === 'committed' ? outcome.guarded : [];
}

function change(before: Connection | undefined, after: Connection | undefined): Map<string, ConnectionChange> {
  return new Map([[(after ?? before)?.client_id ?? '', { before, after }]]);
}

async function foundBy(fact: SearchableFact, value: string): Promise<string[]> {
  const { connections } = await directory.list({ facts: { [fact]: value } }, 100);
  return connections.map(({ client_id }) => client_id);
}

/** All members of the index of facts. */
async function factMembers(): Promise<string[]> {
  const sets = await redis.keys(`${keys.prefix}:*:facts:*`);
  return (await Promise.all(sets.map((key) => redis.zrange(key, '0', '-1')))).flat();
}

async function indexed(): Promise<Record<string, string[]>> {
  const found: Record<string, string[]> = {};
  for (const state of ['online', 'offline'] as const) {
    for (const type of ['host', 'proxy'] as const) {
      const sets =
        state === 'online' ? [keys.online(0, type)] : OFFLINE_REASONS.map((reason) => keys.offline(0, type, reason));
      const ids = (await Promise.all(sets.map((set) => redis.zrange(set, '0', '-1')))).flat();
      if (ids.length > 0) found[`${state} ${type}`] = ids;
    }
  }
  return found;
}

describe('a connection that is committed', () => {
  it('is read back as it was written', async () => {
    const connection = hostConnection('ü😀 "x"', {
      facts: { fqdn: 'a\n"b"', ip_addresses: ['10.0.0.1'], unknown_member: { kept: [1, null] } },
      refused_until: 12,
    });
    await commit({ connections: change(undefined, connection) });
    expect(await directory.find('ü😀 "x"')).toEqual(connection);
    expect(await directory.find('another')).toBeUndefined();
  });

  it('keeps every member that may be present, and has its usual value for one that an older release did not write', async () => {
    const full = hostConnection('full', {
      refused_until: 'never',
      superseded_handshakes: ['"', 'ü'],
      coalesced: { since: 1, due: 2, changes: 3, emitted_state: 'offline' },
      applied_messages: 'x'.repeat(16),
      force_disconnect: { reconnect_after: '5m', at: 9 },
      account_asked: { waiting: [], bytes: 0, is_late: true },
    });
    const older: Partial<Connection> = hostConnection('older');
    delete older.account;
    delete older.lane;
    await commit({ connections: change(undefined, full) });
    await commit({ connections: change(undefined, older as Connection) });
    expect(await directory.find('full')).toEqual(full);
    expect(await directory.find('older')).toEqual({ ...older, account: null, lane: null });
  });

  it('is a member of one index of state and type at a time', async () => {
    const online = hostConnection('a');
    const offline = { ...online, state: 'offline' as const };
    const proxy: Connection = { ...online, type: 'proxy', facts: { source_type: 's', application_type: 't' } };
    await commit({ connections: change(undefined, online) });
    expect(await indexed()).toEqual({ 'online host': ['a'] });
    await commit({ connections: change(online, offline) });
    expect(await indexed()).toEqual({ 'offline host': ['a'] });
    await commit({ connections: change(offline, proxy) });
    expect(await indexed()).toEqual({ 'online proxy': ['a'] });
    await commit({ connections: change(proxy, { ...proxy, last_message_at: 2000 }) });
    expect(await indexed()).toEqual({ 'online proxy': ['a'] });
    expect((await directory.find('a'))?.last_message_at).toBe(2000);
  });

  it.each<[SearchableFact, Connection['facts'], string]>([
    ['insights_id', { insights_id: 'x' }, 'x'],
    ['machine_id', { machine_id: 'x' }, 'x'],
    ['bios_uuid', { bios_uuid: 'x' }, 'x'],
    ['subscription_manager_id', { subscription_manager_id: 'x' }, 'x'],
    ['fqdn', { fqdn: 'x:y z' }, 'x:y z'],
    ['ip_address', { ip_addresses: ['10.0.0.1', 'fe80::1'] }, 'fe80::1'],
    ['mac_address', { mac_addresses: ['00:00:00:00:00:00', '52:54:00:66:ea:9a'] }, '52:54:00:66:ea:9a'],
  ])('is found by the exact value of %s only', async (fact, facts, value) => {
    await commit({ connections: change(undefined, hostConnection('a', { facts })) });
    expect(await foundBy(fact, value)).toEqual(['a']);
    expect(await foundBy(fact, value.slice(0, -1))).toEqual([]);
    expect(await foundBy(fact, `${value}0`)).toEqual([]);
    expect(await foundBy(fact === 'fqdn' ? 'machine_id' : 'fqdn', value)).toEqual([]);
  });

  it('is found by its new facts and no longer by the old ones', async () => {
    const before = hostConnection('a', { facts: { ip_addresses: ['10.0.0.1', '10.0.0.2'] } });
    const after = hostConnection('a', { facts: { ip_addresses: ['10.0.0.2', '10.0.0.3'] } });
    await commit({ connections: change(undefined, before) });
    await commit({ connections: change(before, after) });
    expect(await foundBy('ip_address', '10.0.0.1')).toEqual([]);
    expect(await foundBy('ip_address', '10.0.0.2')).toEqual(['a']);
    expect(await foundBy('ip_address', '10.0.0.3')).toEqual(['a']);
    expect(await factMembers()).toHaveLength(2);
  });

  it('writes only changed facts to the index', () => {
    const addresses = Array.from({ length: 64 }, (_, i) => `10.0.0.${i}`);
    const before = hostConnection('a', { account: 'acme', facts: { fqdn: 'x', ip_addresses: addresses } });
    const repeated = { ...before, facts: { fqdn: 'x', ip_addresses: addresses.toReversed() } };
    const facts = (writes: readonly CommitAct[]): unknown[] =>
      writes.flatMap((write) =>
        'command' in write && `${write.command[1]}`.includes(':facts:') ? [write.command] : [],
      );
    expect(facts(writesOf({ connections: change(before, repeated) }))).toEqual([]);
    const after = { ...before, facts: { fqdn: 'x', ip_addresses: [...addresses.slice(1), 'new'] } };
    const written = [undefined, 'acme'].flatMap((account) => {
      const [old, now] = ['10.0.0.0', 'new'].map((value) => factTerm('ip_address', value, account));
      if (old === undefined || now === undefined) throw new Error('no terms');
      return [
        ['ZREM', keys.facts(0, old.bucket), `${old.term}a`],
        ['ZADD', keys.facts(0, now.bucket), 0, `${now.term}a`],
      ];
    });
    const writes = facts(writesOf({ connections: change(before, after) }));
    expect(writes).toHaveLength(written.length);
    expect(writes).toEqual(expect.arrayContaining(written));
  });

  it('uses at most 16 KiB of an index, however long its id is: ids and names first, then addresses of both kinds', async () => {
    const id = 'ü'.repeat(256);
    const many = (prefix: string): string[] => Array.from({ length: 64 }, (_, i) => `${prefix}${i}`);
    const facts = { mac_addresses: many('mac'), ip_addresses: many('ip'), fqdn: 'x' };
    const before = hostConnection(id, { facts });
    await commit({ connections: change(undefined, before) });
    const members = await factMembers();
    const bytes = members.reduce((sum, member) => sum + Buffer.byteLength(member), 0);
    expect(bytes).toBeLessThanOrEqual(16_384);
    expect(bytes).toBeGreaterThan(15_000);
    for (const [fact, value] of [
      ['fqdn', 'x'],
      ['ip_address', 'ip0'],
      ['mac_address', 'mac0'],
    ] as const)
      expect(await foundBy(fact, value)).toEqual([id]);
    expect(await foundBy('mac_address', 'mac63')).toEqual([]);
    // An address that did not fit is indexed as soon as others are gone.
    const after = hostConnection(id, { facts: { mac_addresses: many('mac').slice(60) } });
    await commit({ connections: change(before, after) });
    expect(await foundBy('mac_address', 'mac63')).toEqual([id]);
    expect(await factMembers()).toHaveLength(4);
    await commit({ connections: change(after, undefined) });
    expect(await factMembers()).toEqual([]);
  });

  it('has its facts in sets that Redis keeps in one block, also if its shard has thousands of others', async () => {
    const connections = new Map<string, ConnectionChange>();
    for (let i = 0; i < 5000; i++) {
      const id = `6e0a4f6c-c11e-4d70-b475-${String(i).padStart(12, '0')}`;
      const facts = { fqdn: `${i}.example`, machine_id: `m${i}`, ip_addresses: [`10.0.0.${i}`] };
      connections.set(id, { before: undefined, after: hostConnection(id, { facts }) });
    }
    await commit({ connections });
    const sets = await redis.keys(`${keys.prefix}:*:facts:*`);
    const encodings = await Promise.all(sets.map((key) => redis.object('ENCODING', key)));
    // Before Redis 7 a listpack is a ziplist.
    expect(encodings.filter((encoding) => !/^(listpack|ziplist)$/.test(String(encoding)))).toEqual([]);
    expect(sets.length).toBeGreaterThan(1000);
  });

  it('is found by its facts while it is offline', async () => {
    const online = hostConnection('a', { facts: { fqdn: 'x' } });
    await commit({ connections: change(undefined, online) });
    await commit({ connections: change(online, { ...online, state: 'offline' }) });
    expect(await foundBy('fqdn', 'x')).toEqual(['a']);
  });

  it('is not found by the facts of a host after it has become a proxy', async () => {
    const before = hostConnection('a', { facts: { fqdn: 'x' } });
    const proxy: Connection = {
      ...before,
      type: 'proxy',
      facts: { source_type: 's', application_type: 't', fqdn: 'x' },
    };
    await commit({ connections: change(undefined, before) });
    await commit({ connections: change(before, proxy) });
    expect(await foundBy('fqdn', 'x')).toEqual([]);
  });

  it('leaves nothing behind when it is forgotten', async () => {
    const connection = hostConnection('a', {
      state: 'offline',
      facts: { fqdn: 'x', ip_addresses: ['1', '2'], mac_addresses: ['3'], insights_id: '4' },
    });
    await commit({ connections: change(undefined, connection) });
    await commit({ connections: change(connection, undefined) });
    expect(await directory.find('a')).toBeUndefined();
    const left = await redis.keys(`${keys.prefix}*`);
    expect(left.sort()).toEqual([keys.owner(GRANT), keys.position(0)].sort());
  });
});

describe('the commit of a batch', () => {
  it('splits writes with too many arguments and keeps pairs of arguments together', async () => {
    const connections = new Map<string, ConnectionChange>();
    for (let i = 0; i < 4500; i++) {
      const after = hostConnection(`client ${i}`, { facts: { machine_id: `m${i}`, ip_addresses: [`10.0.0.${i}`] } });
      connections.set(after.client_id, { before: undefined, after });
    }
    const todos = Array.from({ length: 4100 }, (_, i) => ({
      todo: { do: 'verify', client_id: `client ${i}` } satisfies ToDo,
      due: 5000 + i,
    }));
    const writes = writesOf({ connections, todos });
    const commands = writes.flatMap((write) => ('command' in write ? [write.command] : []));
    expect(commands).toHaveLength(writes.length);
    for (const command of commands) expect(command.length).toBeLessThanOrEqual(MAX_WRITE_ARGS);
    await commit({ connections, todos });
    expect(await redis.hlen(keys.connections(0))).toBe(4500);
    expect(await redis.zcard(keys.online(0, 'host'))).toBe(4500);
    expect(await factMembers()).toHaveLength(9000);
    expect(await redis.zcard(keys.todo(0))).toBe(4100);
    expect(await directory.find('client 4499')).toEqual(connections.get('client 4499')?.after);
    const last: ToDo = { do: 'verify', client_id: 'client 4099' };
    expect(await redis.zscore(keys.todo(0), encodeToDo(last))).toBe('9099');
  });

  it('keeps a to-do that the batch removes and writes again', async () => {
    const todo: ToDo = { do: 'forget', client_id: 'a' };
    await commit({ todos: [{ todo, due: 10 }] });
    await commit({ withdrawn: [todo], todos: [{ todo, due: 20 }] });
    expect(await redis.zscore(keys.todo(0), encodeToDo(todo))).toBe('20');
    await commit({ withdrawn: [todo] });
    expect(await redis.zcard(keys.todo(0))).toBe(0);
  });

  it('makes a client that came online ready for a dispatcher only if messages wait for it', async () => {
    await redis.rpush(keys.outbox(0, 'b'), 'message');
    await redis.zadd(keys.ready(0), 5000, 'b');
    const guarded = await commit({ cameOnline: [{ clientId: 'a' }, { clientId: 'b' }] });
    expect(guarded).toEqual([false, true]);
    // At once, even if its next attempt was put off.
    expect(await redis.zrange(keys.ready(0), '0', '-1', 'WITHSCORES')).toEqual(['b', '0']);
    expect(await redis.exists(keys.todo(0))).toBe(0);
  });

  it('appends events and dead letters with their time, in order', async () => {
    await commit({
      events: [
        { type: 'connection.offline', client_id: 'a', reason: 'goodbye', at: 1 },
        { type: 'connection.online', client_id: 'a', connection_type: 'host', handshake_message_id: 'm', at: 2 },
      ],
      deadLetters: [{ client_id: 'a', topic: 't', reason: 'empty', details: 'd', sample: 's', at: 3 }],
    });
    const events = await redis.xrange(keys.events(0), '-', '+');
    expect(events.map(([, fields]) => fields)).toEqual([
      ['at', '1', 'event', '{"type":"connection.offline","client_id":"a","reason":"goodbye"}'],
      [
        'at',
        '2',
        'event',
        '{"type":"connection.online","client_id":"a","connection_type":"host","handshake_message_id":"m"}',
      ],
    ]);
    const letters = await redis.xrange(keys.deadLetters(0), '-', '+');
    expect(letters.map(([, fields]) => fields)).toEqual([
      ['at', '3', 'letter', '{"client_id":"a","topic":"t","reason":"empty","details":"d","sample":"s"}'],
    ]);
  });

  it('keeps events and dead letters bounded', async () => {
    const event = { type: 'connection.offline', client_id: 'a', reason: 'goodbye', at: 1 } as const;
    const said = {
      type: 'client.message',
      client_id: 'a',
      message_id: 'm',
      directive: 'd',
      payload_json: '1',
      at: 2,
    } as const;
    const letter = { client_id: 'a', topic: 't', reason: 'empty', details: 'd', sample: 's', at: 3 } as const;
    await redis.hset(keys.log(0), 'last', '1-0', 'limit', 100_000);
    for (let i = 0; i < 5; i++) {
      await commit({
        events: Array.from({ length: 500 }, () => [event, said]).flat(),
        deadLetters: Array.from({ length: 100 }, () => letter),
      });
    }
    // A stream has at most twice its part of the shard's bytes, even if no owner trims it.
    for (const { key, name, share } of eventStreams(keys, 0)) {
      const bytes = Number((await redis.hget(keys.log(0), `bytes:${name}`)) ?? 0);
      expect(bytes).toBeLessThanOrEqual((2 * 100_000) / share);
      if (name !== 'refusals') expect(bytes).toBeGreaterThan(100_000 / share);
      expect((await redis.memory('USAGE', key)) ?? 0).toBeLessThan(16_384 + (4 * 100_000) / share);
    }
  });

  it('writes nothing if nothing changed', () => {
    expect(writesOf({})).toEqual([]);
  });
});

describe('a client whose account is being asked for', () => {
  const known = hostConnection('a');
  const asked = hostConnection('a', { account_asked: { waiting: [], bytes: 0, is_late: false } });

  it('is marked for claims until the account is known or the client is forgotten', async () => {
    await commit({ connections: change(undefined, asked), waitingBytes: 12 });
    expect(await redis.smembers(keys.accountsAsked(0))).toEqual([asked.client_id]);
    expect(await redis.get(keys.waitingBytes(0))).toBe('12');
    expect(await directory.load(0, [asked.client_id])).toMatchObject([{ account_asked: { waiting: [] } }]);
    await commit({ connections: change(asked, asked) });
    expect(await redis.smembers(keys.accountsAsked(0))).toEqual([asked.client_id]);
    await commit({ connections: change(asked, known) });
    expect(await redis.exists(keys.accountsAsked(0))).toBe(0);
    await commit({ connections: change(known, asked) });
    await commit({ connections: change(asked, undefined) });
    expect(await redis.exists(keys.accountsAsked(0))).toBe(0);
  });

  it('loses the mark when its account becomes known, even if its record names no pending request', async () => {
    await redis.sadd(keys.accountsAsked(0), known.client_id);
    await commit({ accountsKnown: [{ clientId: known.client_id, at: 5 }] });
    expect(await redis.exists(keys.accountsAsked(0), keys.todo(0))).toBe(0);
  });

  it('gets a to-do that checks its outbox when its account becomes known, if it has an outbox', async () => {
    await redis.rpush(keys.outbox(0, known.client_id), 'm-1');
    await commit({ accountsKnown: [{ clientId: known.client_id, at: 5 }] });
    const todo = JSON.stringify({ do: 'fail-moved', client_id: known.client_id });
    expect(await redis.zrange(keys.todo(0), '0', '-1', 'WITHSCORES')).toEqual([todo, '5']);
  });
});
