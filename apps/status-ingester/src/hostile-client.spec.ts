/** One client sends 100,000 messages of every bad kind: what they leave in Redis is bounded. */
import { connectAsync, type MqttClient } from 'mqtt';
import { shardOf } from '@app/protocol';
import type { IntakePacket } from '@app/broker';
import { connectRedis, type Redis } from '@app/platform';
import { RegistryKeys, type DeadLetter } from '@app/registry';
import { OwnerLoop, mailboxReader, type Grant, type Ownership } from '@app/sharding';
import { withRedis } from '../../../test/support/redis.js';
import { eventually, freePort, quiet, startMosquitto, type Server } from '../../../test/support/servers.js';
import { SHARD_RULES, shardParts } from '../../../test/support/shard-parts.js';
import { ingesterSettings } from './ingester.settings.js';
import { LaneMarkers } from './intake/lane-markers.js';
import { MailboxWriter } from './intake/mailbox-writer.js';
import { Housekeeping } from './shard/housekeeping.js';
import type { Rules } from './rules/effect.js';
import { inboundTopics } from './topics/topics.settings.js';

const HOSTILE = 'hostile';
const GOOD = 'good';
const SHARD: Grant = { kind: 'shard', index: 0, epoch: 1, fence: '1:boot' };
const LANE: Grant = { kind: 'lane', index: 0, epoch: 1, fence: '1:boot' };
const PACKETS = 100_000;
const BATCH = 1000;

let redis: Redis;
let loopRedis: Redis;
let broker: Server;
let device: MqttClient;
let stop: () => Promise<void>;
let writer: MailboxWriter;
const keys = new RegistryKeys('hostile');
let received: string[] = [];
let packetId = 0;
let sequence = 0;

// Registered first, so that it runs before the Redis it needs ends.
afterAll(async () => {
  await loopRedis.quit();
  await broker.stop();
});

withRedis((connection, server) => {
  redis = connection;
  loopRedis = connectRedis(server.url, { name: 'loop', whenAway: 'wait' }, quiet);
});

beforeAll(async () => {
  broker = await startMosquitto();
});

afterEach(async () => {
  await stop();
  await device.endAsync(true);
  await redis.flushall();
});

/** An ingester with one shard and one lane, and the hostile client that listens. */
async function start(more: Partial<Rules>, isAway: boolean): Promise<void> {
  received = [];
  device = await connectAsync(broker.url, { protocolVersion: 5 });
  device.on('message', (_, payload) => received.push(payload.toString()));
  await device.subscribeAsync(`redhat/insights/out/${HOSTILE}`, { qos: 1 });
  for (const grant of [SHARD, LANE]) await redis.set(keys.owner(grant), grant.fence);
  const settings = ingesterSettings.parse({
    REDIS_URL: 'redis://127.0.0.1:1',
    SHARD_COUNT: '1',
    STATUS_TOPICS: 'redhat/insights/status/{clientId}',
    CLIENT_RATE: '1000000',
    CLIENT_BURST: '1000000',
    CLIENT_BYTES_RATE: '1073741824',
    MQTT_URL: broker.url,
  });
  const rules = { ...SHARD_RULES, statusTopics: settings.STATUS_TOPICS.map(({ template }) => template), ...more };
  // The source of accounts never answers.
  const accounts = { ask: () => undefined };
  const brokerUrl = isAway ? `mqtt://127.0.0.1:${await freePort()}` : broker.url;
  const parts = shardParts({ redis, keys, brokerUrl, shardCount: 1, rules, accounts });
  const { mailboxes } = parts;
  const ownership: Pick<Ownership, 'mayAct' | 'lost' | 'grants'> = {
    mayAct: () => true,
    lost: () => undefined,
    grants: () => [SHARD],
  };
  const loop = new OwnerLoop(mailboxReader(loopRedis, redis, keys), parts.commits, parts.actor, ownership, quiet);
  const housekeeping = new Housekeeping(ownership, parts.due, parts.effects, quiet);
  sequence = 0;
  await mailboxes.announce(LANE, 1);
  const options = {
    templates: inboundTopics(settings),
    shardCount: 1,
    laneCount: settings.INTAKE_LANES,
    maxInboundBytes: settings.MAX_INBOUND_BYTES,
    limits: {
      rate: settings.CLIENT_RATE,
      burst: settings.CLIENT_BURST,
      bytesRate: settings.CLIENT_BYTES_RATE,
    },
  };
  const gate = { keepsRetainFlag: true, retainFlagRemoved: () => undefined };
  writer = new MailboxWriter(mailboxes, new LaneMarkers(redis, keys, 'marker', quiet), gate, options, quiet);
  await loop.add(SHARD);
  housekeeping.start();
  stop = async () => {
    await housekeeping.stop();
    await loop.stop();
    await parts.stop();
  };
}

function packet(client: string, kind: 'in' | 'status', payload: string | Buffer, retain: boolean): IntakePacket {
  packetId = (packetId % 65_535) + 1;
  return { topic: `redhat/insights/${kind}/${client}`, payload: Buffer.from(payload), retain, dup: false, packetId };
}

function envelope(type: string, id: string, more: object = {}): string {
  return JSON.stringify({ type, message_id: id, version: 1, sent: '2026-01-02T03:04:05Z', ...more });
}

function handshake(id: string, fqdn: string): string {
  return envelope('host-handshake', id, { payload: { canonical_facts: { fqdn } } });
}

/** One packet of each kind; its ids are used once. */
const KINDS: readonly ((i: number) => IntakePacket)[] = [
  (i) => packet(HOSTILE, 'status', envelope('host-handshake', `no-facts-${i}`, { payload: {} }), true),
  (i) => packet(HOSTILE, 'status', handshake(`not-retained-${i}`, 'a'), false),
  (i) => packet(HOSTILE, 'in', handshake(`wrong-topic-${i}`, 'a'), true),
  (i) => packet(HOSTILE, 'status', envelope('proxy-handshake', `version-${i}`, { version: 2 }), true),
  (i) => packet(HOSTILE, 'status', `not json ${i}`, true),
  (i) => packet(HOSTILE, 'status', Buffer.from([0xff, i % 256]), true),
  (i) => packet(HOSTILE, 'in', envelope(`type-${i}`, `type-${i}`), false),
  (i) =>
    packet(
      HOSTILE,
      'in',
      envelope('message-error', `error-${i}`, { in_response_to: `none-${i}`, payload: { details: 'x' } }),
      false,
    ),
  (i) => packet(HOSTILE, 'status', handshake(`good-${i}`, `fqdn-${i}`), true),
  (i) => packet(HOSTILE, 'status', envelope('offline', `will-${i}`), true),
  (i) => packet(HOSTILE, 'status', envelope('offline', `bye-${i}`), false),
  (i) => packet(HOSTILE, 'status', handshake(`changed-${i}`, `fqdn-${i}`), true),
  (i) => packet(HOSTILE, 'status', handshake(`changed-again-${i}`, `fqdn ${i}`), true),
  () => packet(HOSTILE, 'status', '', true),
  () => packet(HOSTILE, 'in', '', false),
];

async function store(packets: readonly IntakePacket[]): Promise<void> {
  await writer.write(packets, LANE, ++sequence, new AbortController().signal);
}

async function untilApplied(): Promise<void> {
  await eventually('the mailbox is applied', async () => expect(await redis.xlen(keys.mailbox(0))).toBe(0));
}

it.each<[string, Partial<Rules>, boolean?]>([
  ['its handshakes are not answered, and it has no account', {}],
  ['its handshakes are to be answered and the broker takes no answer', { respond: true }, true],
  ['its account is being asked for', { accountOf: (id) => ({ kind: id === HOSTILE ? 'ask' : 'none' }) }],
])(
  'a hostile client leaves a bounded number of keys and bytes, and the data of other clients, if %s',
  async (_, rules, isAway = false) => {
    await start(rules, isAway);
    expect(shardOf(HOSTILE, 1)).toBe(shardOf(GOOD, 1));
    await store([packet(GOOD, 'status', handshake('g-1', 'good'), true), packet(GOOD, 'in', 'not json', false)]);
    for (let from = 0; from < PACKETS; from += BATCH) {
      await store(
        Array.from({ length: BATCH }, (_, i) => {
          const kind = KINDS[(from + i) % KINDS.length];
          if (kind === undefined) throw new Error('no such kind');
          return kind(from + i);
        }),
      );
    }
    await untilApplied();
    const [waiting, answered] = keys.refusals(0);
    await eventually('the to-dos of message-errors are done', async () => {
      const todos = await redis.zrange(keys.todo(0), '0', '-1');
      expect(todos.filter((text) => text.includes('message-error'))).toEqual([]);
    });
    const found = await redis.keys('*');
    expect(found.length).toBeLessThan(25);
    expect(await redis.zcard(keys.todo(0))).toBeLessThan(10);
    expect(await redis.hlen(waiting)).toBeLessThanOrEqual(2);
    expect(await redis.hlen(answered)).toBe(isAway ? 0 : 1);
    const sizes = await Promise.all(found.map((key) => redis.call('MEMORY', 'USAGE', key, 'SAMPLES', '0')));
    expect(sizes.reduce<number>((sum, size) => sum + Number(size), 0)).toBeLessThan(1_000_000);
    expect(received.filter((text) => text.includes('handshake-error')).length).toBeLessThan(60);

    const changes = await redis.xrange(keys.events(0), '-', '+');
    const events = [...changes, ...(await redis.xrange(keys.refusalEvents(0), '-', '+'))];
    const texts = events.map(([, fields]) => fields.join(' '));
    expect(texts.some((text) => text.includes('connection.online') && text.includes(GOOD))).toBe(true);
    expect(events.length).toBeLessThan(100);
    const letters = await redis.xrange(keys.deadLetters(0), '-', '+');
    expect(letters.length).toBeLessThan(30);
    const clients = letters.map(([, [, , , letter = '']]) => (JSON.parse(letter) as DeadLetter).client_id);
    expect(clients).toContain(GOOD);
  },
);
