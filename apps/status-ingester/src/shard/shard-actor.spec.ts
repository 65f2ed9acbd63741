import { createLogger, type Redis } from '@app/platform';
import {
  ConnectionDirectory,
  RegistryKeys,
  connectionWrites,
  decodeToDo,
  encodeCommand,
  encodeConnection,
  encodePacket,
  encodeToDo,
  type DeadLetter,
} from '@app/registry';
import { RESERVED_IDS } from '../../../../libs/registry/src/key-space/reserved-ids.js';
import type { Grant, MailboxEntry } from '@app/sharding';
import { hostConnection } from '../../../../test/support/connections.js';
import { withRedis } from '../../../../test/support/redis.js';
import { eventually, freePort } from '../../../../test/support/servers.js';
import { IN_TOPIC, SHARD_RULES, shardParts, type ShardParts } from '../../../../test/support/shard-parts.js';

const SHARD: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:boot' };
const ENVELOPE = { version: 1, sent: '2020-12-04T17:22:24+00:00' };

let redis: Redis;
let keys: RegistryKeys;
let parts: ShardParts;
let directory: ConnectionDirectory;
let brokerUrl: string;
let keySpaces = 0;
/** The log of the actor. */
let lines: string[];

withRedis((connection) => (redis = connection));

beforeAll(async () => {
  brokerUrl = `mqtt://127.0.0.1:${await freePort()}`;
});

beforeEach(async () => {
  keys = new RegistryKeys(`actor${keySpaces++}`);
  await redis.set(keys.owner(SHARD), SHARD.fence);
  directory = new ConnectionDirectory(redis, keys, 1);
  lines = [];
  const logger = createLogger('spec', 'info', { write: (line) => lines.push(line) });
  // Only the client "owned" has an account.
  const accountOf = (id: string) =>
    id === 'owned' ? { kind: 'account' as const, account: 'acme' } : ({ kind: 'none' } as const);
  parts = shardParts({ redis, keys, brokerUrl, shardCount: 1, rules: { ...SHARD_RULES, accountOf }, logger });
});

afterEach(() => parts.stop());

function handshake(clientId: string, id = 'h-1'): string {
  const payload = { canonical_facts: { fqdn: clientId } };
  const body = JSON.stringify({ ...ENVELOPE, type: 'host-handshake', message_id: id, payload });
  return packet(clientId, body);
}

function packet(clientId: string, body: string): string {
  return encodePacket({ clientId, lane: 0, topic: IN_TOPIC, retain: true, dup: false, body });
}

/** Appends entries to the mailbox and hands them to the actor, as the owner loop does. */
async function handle(...items: string[]): Promise<void> {
  await parts.mailboxes.sendAll(0, items);
  const position = await parts.commits.position(0);
  const entries = await redis.xrange(keys.mailbox(0), '-', '+');
  const read: MailboxEntry[] = entries.map(([id, [, text = '']]) => ({ id, text }));
  await parts.actor.handle(SHARD, position, read);
  expect(await parts.commits.position(0)).toBe(read.at(-1)?.id);
  expect(await redis.xlen(keys.mailbox(0))).toBe(0);
}

async function letters(): Promise<DeadLetter[]> {
  const entries = await redis.xrange(keys.deadLetters(0), '-', '+');
  return entries.map(([, fields]) => JSON.parse(fields[fields.indexOf('letter') + 1] ?? '') as DeadLetter);
}

async function online(): Promise<string[]> {
  const { connections } = await directory.list({ state: 'online' }, 100);
  return connections.map(({ client_id }) => client_id);
}

const VERIFY_A = encodeToDo({ do: 'verify', client_id: 'a' });

it('the actor logs each event with its time as an ISO text', async () => {
  await handle(handshake('logged'));
  const logged = lines.map((line) => JSON.parse(line) as { message: string; at?: unknown });
  const online = logged.find(({ message }) => message === 'connection.online');
  expect(online).toMatchObject({ client_id: 'logged', shard: 0, epoch: 1 });
  expect(online?.at).toEqual(expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/));
});

it('an entry that cannot be decoded becomes a dead letter with its reason, and the other entries are applied', async () => {
  await handle(handshake('before'), 'from the future\na\nx', handshake('after'));
  expect(await online()).toEqual(['after', 'before']);
  expect(await letters()).toMatchObject([
    {
      client_id: 'a',
      reason: 'internal-error',
      details: expect.stringContaining('unknown head') as string,
      sample: 'x',
    },
  ]);
  expect(await redis.zscore(keys.todo(0), VERIFY_A)).not.toBeNull();
});

it.each(['{broken', '"a text"', '[]', '{}'])(
  'a stored connection that cannot be read, such as %s, becomes a dead letter, and its client can come back',
  async (text) => {
    await redis.hset(keys.connections(0), 'a', text);
    await redis.zadd(keys.offline(0, 'proxy', 'goodbye'), 0, 'a');
    await handle(handshake('a'), handshake('b'));
    expect(await online()).toEqual(['a', 'b']);
    expect(await redis.zscore(keys.offline(0, 'proxy', 'goodbye'), 'a')).toBeNull();
    expect(await letters()).toMatchObject([{ client_id: 'a', reason: 'internal-error', sample: text }]);
    expect(await directory.find('a')).toMatchObject({ state: 'online', facts: { fqdn: 'a' } });
  },
);

it('a stored connection that cannot be read is removed from the sets of its account, too', async () => {
  await handle(handshake('owned'));
  const ofAccount = keys.online(0, 'host', 'acme');
  expect(await redis.zrange(ofAccount, '0', '-1')).toEqual(['owned']);
  await redis.hset(keys.connections(0), 'owned', '{broken');
  parts.actor.forget(SHARD);
  await handle(packet('owned', ''));
  expect(await redis.exists(ofAccount, keys.accounts(0))).toBe(0);
});

it('connections that are too large to be read together are read and written in parts', async () => {
  const ids = Array.from({ length: 60 }, (_, i) => `large${i}`);
  const facts = { fqdn: 'x'.repeat(250_000) };
  for (const id of ids) await redis.hset(keys.connections(0), id, encodeConnection({ ...hostConnection(id), facts }));
  const commit = jest.spyOn(parts.commits, 'commit');
  await handle(...ids.map((id) => handshake(id, 'h-2')));
  expect(commit).toHaveBeenCalledTimes(2);
  const handshakes = await directory.map(0, ids, (connection) => connection?.handshake_message_id);
  expect(handshakes).toEqual(ids.map(() => 'h-2'));
});

it('a listing leaves out a stored connection that cannot be read', async () => {
  await redis.hset(keys.connections(0), { a: '{broken', b: encodeConnection(hostConnection('b')) });
  await redis.zadd(keys.online(0, 'host'), 0, 'a', 0, 'b');
  expect(await online()).toEqual(['b']);
});

it('an entry for which the commit fails becomes a dead letter, and the others are applied', async () => {
  await redis.set(keys.online(0, 'host', 'acme'), 'no sorted set');
  const others = Array.from({ length: 9 }, (_, i) => `c${i}`);
  const handshakes = others.map((id) => handshake(id));
  await handle(...handshakes.slice(0, 4), handshake('owned'), ...handshakes.slice(4));
  expect(await online()).toEqual(expect.arrayContaining(others));
  const [letter, ...more] = await letters();
  expect(more).toEqual([]);
  expect(letter).toMatchObject({ client_id: 'owned', reason: 'internal-error' });
  expect(letter?.details).toContain('WRONGTYPE');
});

it('requests to verify unknown clients leave nothing in Redis, and a bounded number in memory', async () => {
  const verify = { do: 'verify', reason: 'request' } as const;
  await handle(
    handshake('a'),
    ...Array.from({ length: 500 }, (_, i) => encodeCommand({ clientId: `u${i}`, command: verify })),
  );
  expect(await redis.zcard(keys.todo(0))).toBeLessThan(10);
  expect(parts.verifier.pendingOf(SHARD).size).toBe(100);
  await handle(encodeCommand({ clientId: 'a', command: verify }));
  expect(await redis.zscore(keys.todo(0), VERIFY_A)).not.toBeNull();
  expect(parts.verifier.pendingOf(SHARD).has('a')).toBe(true);
});

it('answers to handshakes and to forced disconnections keep one of each kind while the broker is away', async () => {
  await parts.stop();
  parts = shardParts({ redis, keys, brokerUrl, shardCount: 1, rules: { ...SHARD_RULES, respond: true } });
  const disconnect = { do: 'force-disconnect', reconnect_after: 'PT0S' } as const;
  for (let i = 0; i < 50; i++) {
    await handle(
      handshake('a', `h-${i}`),
      handshake('a', `again-${i}`),
      encodeCommand({ clientId: 'a', command: disconnect }),
      encodeCommand({ clientId: 'a', command: disconnect }),
    );
  }
  const todos = await redis.zrange(keys.todo(0), '0', '-1');
  const answers = todos.map(decodeToDo).flatMap((todo) => (todo.do === 'reply' ? [todo.reply] : []));
  expect(answers).toHaveLength(2);
  expect(answers).toContainEqual({ type: 'handshake-response', in_response_to: 'again-49' });
  expect(answers).toContainEqual({ type: 'force-disconnect', payload: { reconnect_after: 'PT0S' } });
});

it('entries do not become dead letters when the lease is lost', async () => {
  await redis.set(keys.owner(SHARD), 'another');
  await parts.mailboxes.sendAll(0, [handshake('a')]);
  const [entry] = await redis.xrange(keys.mailbox(0), '-', '+');
  if (entry === undefined) throw new Error('no entry');
  const read = [{ id: entry[0], text: entry[1][1] ?? '' }];
  await expect(parts.actor.handle(SHARD, '0-0', read)).rejects.toThrow('stops acting');
  expect(await letters()).toEqual([]);
});

describe.each(['.', '..', 'summary'])('a client with the reserved id "%s"', (id) => {
  it('a client with a reserved id is refused, and gets no connection', async () => {
    await handle(handshake(id), packet(id, ''), handshake('a'));
    expect(await online()).toEqual(['a']);
    const [waiting] = keys.refusals(0);
    expect(await redis.hkeys(waiting)).toEqual([`id/${id}`]);
    expect(await letters()).toMatchObject([{ client_id: id, reason: 'reserved-id' }]);
  });

  it('a client with a reserved id that an older release accepted is removed by the to-do of the migration', async () => {
    const stored = hostConnection(id, { facts: { machine_id: 'm' }, status_topic: IN_TOPIC });
    const writes = connectionWrites(keys, 0, {
      connections: new Map([[id, { before: undefined, after: stored }]]),
      ...{ events: [], deadLetters: [], todos: [], refused: [], withdrawn: [], cameOnline: [], swept: [] },
    });
    await parts.commits.commit(SHARD, '0-0', '0-0', writes);
    expect(await online()).toEqual([id]);
    await RESERVED_IDS.run(redis, keys, SHARD);
    const { todos } = await parts.due.claim(SHARD);
    expect(todos.map(({ todo }) => todo)).toEqual([{ do: 'forget', client_id: id }]);
    parts.effects.resume(SHARD, todos);
    await eventually('the command is in the mailbox', async () => expect(await redis.xlen(keys.mailbox(0))).toBe(1));
    await handle();
    expect(await online()).toEqual([]);
    expect(await directory.find(id)).toBeUndefined();
    const indexes = [keys.online(0, 'host'), ...(await redis.keys(`${keys.prefix}:*:facts:*`))];
    expect(await redis.exists(keys.connections(0), ...indexes)).toBe(0);
    expect(await redis.zcard(keys.todo(0))).toBe(0);
  });
});
