import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import type { IntakePacket } from '@app/broker';
import type { Logger, Redis } from '@app/platform';
import { TopicTemplate } from '@app/protocol';
import { RegistryKeys } from '@app/registry';
import { Mailboxes, StaleOwnerError, type Grant } from '@app/sharding';
import { withRedis } from '../../../../test/support/redis.js';
import { quiet } from '../../../../test/support/servers.js';
import type { ClientLimits } from './client-rate-limiter.js';
import { CONTROL_MESSAGE, LaneMarkers, markerText } from './lane-markers.js';
import { MailboxWriter, type MailboxWriterOptions } from './mailbox-writer.js';

const LANE: Grant = { kind: 'lane', index: 0, epoch: 1, fence: '1:boot' };
const forever = new AbortController().signal;
const keys = new RegistryKeys('intake');
let redis: Redis;

withRedis((connection) => (redis = connection));

const ON_IN = 'redhat/insights/in/';
let removed: number;
const gate = {
  keepsRetainFlag: true,
  retainFlagRemoved: () => {
    removed++;
  },
};

beforeEach(() => {
  [gate.keepsRetainFlag, removed] = [true, 0];
});
afterEach(() => redis.flushall());

async function writerOf(
  limits: Partial<ClientLimits> = {},
  logger: Logger = quiet,
  limit = 10_000,
): Promise<MailboxWriter> {
  const mailboxes = new Mailboxes(redis, keys, limit);
  await mailboxes.announce(LANE, 1);
  const options: MailboxWriterOptions = {
    templates: [new TopicTemplate('redhat/insights/in/{clientId}')],
    shardCount: 1,
    laneCount: 1,
    maxInboundBytes: 262_144,
    limits: { rate: 50, burst: 1000, bytesRate: 1_048_576, ...limits },
  };
  const markers = new LaneMarkers(redis, keys, 'marker', logger, new Set([ON_IN]));
  return new MailboxWriter(mailboxes, markers, gate, options, logger);
}

function packetsOn(topic: string, count: number, payload: Buffer): IntakePacket[] {
  return Array.from({ length: count }, (_, i) => ({ topic, payload, retain: false, dup: false, packetId: i + 1 }));
}

describe('MailboxWriter', () => {
  it.each([
    [true, '--'],
    [false, '?-'],
  ])(
    'stores a missing retain flag so that it counts only if the broker is known to keep it (%s)',
    async (keeps, flags) => {
      gate.keepsRetainFlag = keeps;
      const writer = await writerOf();
      await writer.write(packetsOn(`${ON_IN}host`, 1, Buffer.from('x')), LANE, 1, forever);
      expect(JSON.stringify(await redis.xrange(keys.mailbox(0), '-', '+'))).toContain(
        `packet 0 ${flags} ${ON_IN}{clientId}`,
      );
    },
  );

  it('reports a control message that comes without the retain flag, and no other message', async () => {
    const writer = await writerOf();
    const [control, marker] = [CONTROL_MESSAGE, markerText(randomUUID())].map((text) => Buffer.from(text));
    if (control === undefined || marker === undefined) throw new Error('there are two');
    const kept = packetsOn(ON_IN, 1, control).map((packet) => ({ ...packet, retain: true }));
    const others = [...kept, ...packetsOn(ON_IN, 1, marker), ...packetsOn(`${ON_IN}host`, 1, control)];
    await writer.write(others, LANE, 1, forever);
    expect(removed).toBe(0);
    await writer.write(packetsOn(ON_IN, 1, control), LANE, 2, forever);
    expect(removed).toBe(1);
  });

  it('logs one line a second while packets without a valid client id flood in, and stores none of them', async () => {
    const lines: string[] = [];
    const logger = pino({ level: 'warn' }, { write: (line) => void lines.push(line) });
    const writer = await writerOf({}, logger);
    const packets = packetsOn(`redhat/insights/in/${'a'.repeat(257)}`, 20_000, Buffer.from('x'));
    const begun = performance.now();
    await writer.write(packets, LANE, 1, forever);
    const seconds = Math.ceil((performance.now() - begun) / 1000);
    expect(lines.length).toBeGreaterThanOrEqual(1);
    expect(lines.length).toBeLessThanOrEqual(seconds + 1);
    expect(await redis.exists(keys.mailbox(0))).toBe(0);
  });

  it('throttles by bytes a client that sends the largest packets within its message rate, and no other client', async () => {
    const writer = await writerOf({ bytesRate: 65_536, rate: 1000 });
    const largest = Buffer.alloc(262_144, 'x');
    const small = packetsOn('redhat/insights/in/small', 1, Buffer.from('x'));
    await writer.write([...packetsOn('redhat/insights/in/large', 50, largest), ...small], LANE, 2, forever);
    const entries = await redis.xrange(keys.mailbox(0), '-', '+');
    // The first packet fits into the burst; one notice with a sample replaces all others.
    expect(entries.map(([, fields]) => fields.join(' ').length > largest.length)).toEqual([true, false, false]);
    expect(entries[1]?.[1].join(' ')).toContain('65536 bytes a second');
  });

  it('rejects with StaleOwnerError if the lane has a newer owner, and stores nothing', async () => {
    const writer = await writerOf();
    const newer: Grant = { ...LANE, epoch: 2, fence: '2:boot' };
    await new Mailboxes(redis, keys, 10).announce(newer, 1);
    const written = writer.write(packetsOn('redhat/insights/in/a', 1, Buffer.from('x')), LANE, 1, forever);
    await expect(written).rejects.toEqual(new StaleOwnerError(LANE));
    expect(await redis.exists(keys.mailbox(0))).toBe(0);
  });

  it('waits for room in a full mailbox, and stops waiting when it is aborted', async () => {
    const writer = await writerOf({}, quiet, 1);
    const [first, second, third] = packetsOn('redhat/insights/in/a', 3, Buffer.from('x')).map((packet) => [packet]);
    await writer.write(first ?? [], LANE, 1, forever);
    const waiting = writer.write(second ?? [], LANE, 2, forever);
    await redis.del(keys.mailbox(0));
    await waiting;
    expect(await redis.xlen(keys.mailbox(0))).toBe(1);
    const stop = new AbortController();
    const aborted = writer.write(third ?? [], LANE, 3, stop.signal);
    stop.abort();
    await expect(aborted).rejects.toThrow('aborted');
    expect(await redis.xlen(keys.mailbox(0))).toBe(1);
  });
});
