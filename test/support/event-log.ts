/** Appends events to the logs of a key space as the owners of its shards do, trims them, and knows what was appended. */
import { join } from 'node:path';
import { LuaCommands, type Redis } from '@app/platform';
import { eventStreams, type EventStreamName, type RegistryKeys } from '@app/registry';
import { trimLog } from '@app/sharding';

/** @returns ids */
const appendEvents = new LuaCommands(join(__dirname, '../../libs/sharding/src/commands')).fromText<
  { log: string; stream: string },
  { name: string; share: number; at: number | ''; events: readonly string[] },
  string[]
>(
  'test-append-events',
  `#!lua flags=allow-oom
-- KEYS log, stream
-- ARGV name, share, at, events...
--   at: empty for the time of the log
--- @include "shard-log"
return with_log(function()
  log_open(KEYS.log, ARGV.name)
  local ids, share = {}, tonumber(ARGV.share)
  local at = ARGV.at == '' and string.format('%d', log_ms) or ARGV.at
  for i = ARGV.events, #ARGV do
    local fields = { 'at', at, 'event', ARGV[i] }
    ids[#ids + 1] = log_append(KEYS.log, KEYS.stream, ARGV.name, share, fields)
  end
  return ids
end)`,
);

export interface AppendedEvent {
  /** As subscribers get it. */
  event_id: string;
  shard: number;
  stream: EventStreamName;
  client_id: string;
  /** Rises with each event. */
  n: number;
}

export interface EventMembers {
  type?: string;
  client_id?: string;
  /** When it happened, epoch milliseconds; by default, when it is appended. */
  at?: number;
  /** Makes it larger. */
  filling?: string;
}

/** Events of these types have a stream of their own. */
const STREAM_OF: Readonly<Record<string, EventStreamName>> = {
  'connection.refused': 'refusals',
  'message.unmatched_error': 'refusals',
  'client.message': 'talk',
};

export class EventLog {
  /** In the order in which they were appended. */
  readonly appended: AppendedEvent[] = [];
  private next = 0;

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly shards: number,
  ) {}

  /** Appends so many events with running numbers. @returns these */
  async append(
    shard: number,
    count: number,
    { type = 'message.status', client_id = `client-${shard}`, at, ...more }: EventMembers = {},
  ): Promise<AppendedEvent[]> {
    const name = STREAM_OF[type] ?? 'state';
    const stream = eventStreams(this.keys, shard).find((one) => one.name === name);
    if (stream === undefined) throw new Error(`no stream ${name}`);
    const first = this.next;
    this.next += count;
    const events = Array.from({ length: count }, (_, i) => ({
      shard,
      stream: name,
      client_id,
      n: first + i,
      event_id: '',
    }));
    const texts = events.map(({ n }) => JSON.stringify({ type, client_id, n, ...more }));
    const ids = await appendEvents.run(
      this.redis,
      { log: this.keys.log(shard), stream: stream.key },
      { name: stream.name, share: stream.share, at: at ?? '', events: texts },
    );
    for (const [i, event] of events.entries()) event.event_id = `${shard}-${ids[i] ?? ''}`;
    this.appended.push(...events);
    return events;
  }

  /**
   * Has the clock of a shard's master, as far as its log shows it, stand at this time, epoch milliseconds: ahead of the real
   * one. As with a real clock, the ids of the log do not fall.
   */
  async setClock(shard: number, ms: number): Promise<void> {
    const newest = this.appended.findLast((event) => event.shard === shard);
    const last = newest !== undefined && msOf(newest) >= ms ? newest.event_id.replace(/^\d+-/, '') : `${ms}-0`;
    await this.redis.hset(this.keys.log(shard), 'last', last);
  }

  /** Has the shard's log take so many bytes at most, from the next append on. */
  async limit(shard: number, bytes: number): Promise<void> {
    await this.redis.hset(this.keys.log(shard), 'limit', bytes);
  }

  /** Has the shard's owner keep only so many bytes of events. */
  async trim(shard: number, bytes: number): Promise<void> {
    const limits = { bytes, shardCount: this.shards, retentionMs: 3_600_000 };
    await trimLog(this.redis, this.keys, shard, eventStreams(this.keys, shard), limits, 100_000);
  }
}

/** When it was appended, by the clock of its shard, epoch milliseconds. */
export function msOf({ event_id }: Pick<AppendedEvent, 'event_id'>): number {
  return Number(event_id.split('-')[1]);
}

/** A number that rises with the events of a shard, for those that have none. */
function orderOf(eventId: string): number {
  const [, ms, number] = eventId.split('-').map(Number);
  return (ms ?? NaN) * 4096 + (number ?? NaN);
}

/** What a subscriber was sent. */
export interface SentEvent {
  event: string;
  data: Record<string, unknown>;
}

/**
 * What is wrong with what a subscriber got of these events: one that is missing and lies in no `gap` of its shard and stream,
 * or a client's event that came behind a later one although it had not come before.
 */
export function faultsIn(received: readonly SentEvent[], wanted: readonly AppendedEvent[]): string[] {
  const faults: string[] = [];
  const got = new Set<unknown>();
  const newest = new Map<unknown, number>();
  for (const { event, data } of received) {
    const { event_id } = data;
    if (event === 'gap' || typeof event_id !== 'string' || got.has(event_id)) continue;
    const n = Number(data['n'] ?? orderOf(event_id));
    got.add(event_id);
    const of = data['client_id'] ?? data['shard'];
    const before = newest.get(of) ?? -1;
    if (n < before) faults.push(`${n} of ${String(of)} came behind ${before}`);
    newest.set(of, Math.max(n, before));
  }
  const gaps = received.filter(({ event }) => event === 'gap').map(({ data }) => data);
  for (const { event_id, shard, stream, n } of wanted) {
    if (got.has(event_id)) continue;
    const ms = msOf({ event_id });
    const announced = gaps.some(
      (gap) =>
        gap['shard'] === shard &&
        (gap['streams'] as string[]).includes(stream) &&
        Date.parse(String(gap['from'])) <= ms &&
        ms <= Date.parse(String(gap['until'])),
    );
    if (!announced) faults.push(`${n} (${event_id}, ${stream}) is missing without a gap`);
  }
  return faults;
}
