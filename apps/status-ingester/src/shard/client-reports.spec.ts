/** Answers of clients, from the mailbox to the message that they are about. */
import { register } from 'prom-client';
import { createLogger, type Redis } from '@app/platform';
import { Messages, RegistryKeys, encodePacket } from '@app/registry';
import type { Grant, MailboxEntry } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { freePort } from '../../../../test/support/servers.js';
import { IN_TOPIC, SHARD_RULES, shardParts, type ShardParts } from '../../../../test/support/shard-parts.js';
import { storeMessage, storedMessage, type StoredMessageParts } from '../../../../test/support/stored-message.js';

const SHARD: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:boot' };
const CLIENT = 'host-1';

let redis: Redis;
let keys: RegistryKeys;
let parts: ShardParts;
let messages: Messages;
let lines: string[];
let answers = 0;
let keySpaces = 0;

withRedis((connection) => (redis = connection));

beforeEach(async () => {
  keys = new RegistryKeys(`answers${keySpaces++}`);
  await redis.set(keys.owner(SHARD), SHARD.fence);
  lines = [];
  const logger = createLogger('spec', 'info', { write: (line) => lines.push(line) });
  const brokerUrl = `mqtt://127.0.0.1:${await freePort()}`;
  parts = shardParts({ redis, keys, brokerUrl, shardCount: 1, rules: SHARD_RULES, logger });
  const limits = { shardCount: 1, outboxLimit: 100, shardLimit: 100, retentionMs: 3_600_000 };
  messages = new Messages(redis, keys, limits);
  register.resetMetrics();
});

afterEach(() => parts.stop());

/** Stores a message of the client. @returns its id */
async function stored(more: StoredMessageParts = {}): Promise<string> {
  const id = messages.mint(CLIENT);
  const message = { status: 'sent', attempts: '1', history: 'q0\ti1\ts2', client: CLIENT, payer: 'shared', ...more };
  await storeMessage(redis, keys.message(0, id), message);
  return id;
}

function error(inResponseTo: string, details = 'no disk', clientId = CLIENT): string {
  const body = JSON.stringify({
    ...{ type: 'message-error', version: 1, sent: '2020-12-04T17:22:24+00:00', message_id: `e-${answers++}` },
    ...{ in_response_to: inResponseTo, payload: { details } },
  });
  return encodePacket({ clientId, lane: 0, topic: IN_TOPIC, retain: false, dup: false, body });
}

function handshake(id: string): string {
  const payload = { canonical_facts: { fqdn: id } };
  const envelope = { type: 'host-handshake', version: 1, sent: '2020-12-04T17:22:24+00:00', message_id: id, payload };
  const body = JSON.stringify(envelope);
  return encodePacket({ clientId: CLIENT, lane: 0, topic: IN_TOPIC, retain: true, dup: false, body });
}

async function read(): Promise<[position: string, entries: MailboxEntry[]]> {
  const entries = await redis.xrange(keys.mailbox(0), '-', '+');
  return [await parts.commits.position(0), entries.map(([id, [, text = '']]) => ({ id, text }))];
}

/** Appends entries to the mailbox and hands them to the actor, as the owner loop does. */
async function handle(...items: string[]): Promise<void> {
  await parts.mailboxes.sendAll(0, items);
  await parts.actor.handle(SHARD, ...(await read()));
  expect(await redis.xlen(keys.mailbox(0))).toBe(0);
}

async function refusalEvents(): Promise<unknown[]> {
  const entries = await redis.xrange(keys.refusalEvents(0), '-', '+');
  return entries.map(([, fields]) => JSON.parse(fields[fields.indexOf('event') + 1] ?? '') as unknown);
}

async function outcomes(): Promise<Record<string, number>> {
  const values = (await register.getSingleMetric('cloud_connector_client_reports_total')?.get())?.values ?? [];
  const counted = values.filter(({ value }) => value > 0);
  return Object.fromEntries(counted.map(({ labels, value }) => [String(labels.outcome), value]));
}

it('an answer is applied by the commit of its mailbox entry, with no to-do left, and is counted and logged', async () => {
  const id = await stored();
  await handle(error(id));
  const { status, history } = await storedMessage(redis, keys.message(0, id));
  expect([status, history]).toEqual(['failed', expect.stringMatching(/^q0\ti1\ts2\tf\d+ no disk$/)]);
  expect(await redis.zrange(keys.todo(0), '0', '-1')).toEqual([]);
  expect(await outcomes()).toEqual({ failed: 1 });
  const logged = lines.map((line) => JSON.parse(line) as { message: string });
  expect(logged).toContainEqual(
    expect.objectContaining({ client_id: CLIENT, message_id: id, outcome: 'failed', details: 'no disk' }),
  );
});

it('answers of one batch are applied in order, each with its own outcome, between other entries', async () => {
  const [first, second, queued] = [await stored(), await stored(), await stored({ status: 'queued', attempts: '0' })];
  const other = error(second, 'of another', 'stranger');
  await handle(
    error(first, 'one'),
    other,
    error(queued),
    error(first, 'two'),
    error(second, 'three'),
    error('no-message'),
  );
  const details = async (id: string) => (await storedMessage(redis, keys.message(0, id)))['history']?.split(/f\d+ /)[1];
  expect([await details(first), await details(second), await details(queued)]).toEqual(['one', 'three', undefined]);
  expect(await outcomes()).toEqual({ failed: 2, foreign: 1, 'not-published': 1, repeated: 1, unknown: 1 });
  expect(await refusalEvents()).toEqual([
    { type: 'message.unmatched_error', client_id: 'stranger', in_response_to: second, details: 'of another' },
    { type: 'message.unmatched_error', client_id: CLIENT, in_response_to: queued, details: 'no disk' },
    { type: 'message.unmatched_error', client_id: CLIENT, in_response_to: 'no-message', details: 'no disk' },
  ]);
});

it('the commit of an answer that is refused as stale changes nothing of the message', async () => {
  const id = await stored();
  await parts.mailboxes.sendAll(0, [error(id)]);
  const [position, entries] = await read();
  await redis.set(keys.owner(SHARD), '2:another');
  await expect(parts.actor.handle(SHARD, position, entries)).rejects.toThrow('shard 0');
  expect(await storedMessage(redis, keys.message(0, id))).toMatchObject({ status: 'sent' });
  expect(await redis.xlen(keys.events(0))).toBe(0);
  expect(await redis.xlen(keys.mailbox(0))).toBe(1);
});

it.each([
  ['before its commit', 'by the next owner', 'queued'],
  ['after its commit', 'by nobody again', 'committed'],
] as const)('an answer of which the owner dies %s is applied once, %s', async (_when, _who, state) => {
  const id = await stored();
  await parts.mailboxes.sendAll(0, [error(id)]);
  const [position, entries] = await read();
  if (state === 'committed') {
    await parts.actor.handle(SHARD, position, entries);
    // The reply was lost: the owner tries again, and learns that it has happened.
    parts.actor.forget(SHARD);
    await parts.actor.handle(SHARD, position, entries);
  }
  const next: Grant = { ...SHARD, epoch: 2, fence: '2:next' };
  await redis.set(keys.owner(SHARD), next.fence);
  const [left, waiting] = await read();
  expect(waiting).toHaveLength(state === 'queued' ? 1 : 0);
  if (waiting.length > 0) await parts.actor.handle(next, left, waiting);
  await expect(parts.actor.handle(SHARD, position, entries)).rejects.toThrow('shard 0');
  const { history = '' } = await storedMessage(redis, keys.message(0, id));
  expect(history.match(/f\d+ no disk/g)).toHaveLength(1);
  expect(await redis.xlen(keys.events(0))).toBe(1);
});

it('answers that match no message become events up to the limit of the client, and are only counted above it', async () => {
  const id = await stored();
  const unmatched = (count: number) => Array.from({ length: count }, (_, i) => error(`none-${i}`));
  await handle(...unmatched(15));
  await handle(error(id), ...unmatched(15), error('of-another', '', 'stranger'));
  const events = (await refusalEvents()) as { client_id: string }[];
  expect(events.filter(({ client_id }) => client_id === 'stranger')).toHaveLength(1);
  // The one that matched has taken no place after its commit, but within the batch it has.
  expect(events.filter(({ client_id }) => client_id === CLIENT)).toHaveLength(19);
  await handle(...unmatched(5));
  expect(await redis.xlen(keys.refusalEvents(0))).toBe(21);
  expect(await outcomes()).toEqual({ failed: 1, unknown: 36 });
});

it('a message that cannot be changed becomes a dead letter of its answer, and the other entries of the batch are applied', async () => {
  const id = await stored();
  const broken = await stored({ status: 'queued', history: 'q0', payer: 'broken' });
  await redis.set(keys.finishedOf(0, 'broken'), 'not a list');
  await handle(error(broken), error(id));
  expect(await storedMessage(redis, keys.message(0, id))).toMatchObject({ status: 'failed' });
  expect(await redis.xlen(keys.deadLetters(0))).toBe(1);
});

it('an answer sends Redis the same commands as a handshake', async () => {
  const id = await stored();
  const sent = async (item: string): Promise<string[]> => {
    await parts.mailboxes.sendAll(0, [item]);
    const batch = await read();
    const send = jest.spyOn(redis, 'sendCommand');
    await parts.actor.handle(SHARD, ...batch);
    const names = send.mock.calls.map(([{ name }]) => name);
    send.mockRestore();
    return names;
  };
  await sent(handshake('h-1'));
  await sent(error('unknown'));
  const ofHandshake = await sent(handshake('h-2'));
  expect(ofHandshake).toEqual(['evalsha']);
  expect(await sent(error(id))).toEqual(ofHandshake);
  expect(await storedMessage(redis, keys.message(0, id))).toMatchObject({ status: 'failed' });
});
