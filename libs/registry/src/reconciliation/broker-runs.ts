/**
 * Since when the broker has been running, as all ingesters see it together. Each run of the broker has an id, which an
 * ingester learns with its first report, so that a restart is noticed by one of them and by no clock of Redis.
 *
 * - U1 An ingester that has watched a run since it learned its id reports with that id: no restart, whatever Redis' clock says.
 * - U2 One that noticed the end of the run it knew says so: a restart, unless another one has reported it before.
 * - U3 Only one that knows nothing of the run before, such as one that has just started, is judged by the uptime and by
 *   Redis' clock.
 * - U4 A report that is late, here or in Redis, is dropped: the next one says the same.
 * - U5 A restart stays open until somebody has acted on it.
 */
import { randomUUID } from 'node:crypto';
import { RedisScript, type Redis } from '@app/platform';
import type { RegistryKeys } from '../keys.js';

export interface UptimeReport {
  /** The broker has been running for so long. */
  seconds: number;
  /** When this was received, by `performance.now()`. */
  at: number;
  /** Whether this is the run of the report before, as far as this process has seen. */
  run: 'same' | 'new' | 'unknown';
}

export interface BrokerRestart {
  /** The run that has begun. */
  run: string;
  /** Its beginning, by Redis' clock; up to two seconds late. */
  since: number;
}

/** A report older than this is dropped. */
const FRESH_MS = 2000;
/** How far beginnings of one run may lie apart: Mosquitto's interval of 10 s between reports, and their delays. */
const TOLERANCE_MS = 15_000;
/** By how many seconds uptimes of one run, reported by two processes, may be out of order. */
const DISORDER_SECONDS = 5;

/** KEYS broker → Redis' clock in milliseconds. For the node that holds the key. */
const clockScript = new RedisScript<number>(
  'ccBrokerClock',
  `local time = redis.call('TIME')
   return time[1] * 1000 + math.floor(time[2] / 1000)`,
);

/**
 * KEYS broker · ARGV seconds of uptime, milliseconds since they were received, Redis' clock when this was sent, most
 * milliseconds since then, the run that goes on or '', the run that has ended or '', an id for a new run, tolerance in
 * milliseconds, disorder in seconds → the id of the run, or '' if this report was dropped; and since when it has been running
 * if a restart is to be acted on, else ''
 */
const uptimeScript = new RedisScript<[run: string, since: string]>(
  'ccBrokerUptime',
  `local time = redis.call('TIME')
   local now = time[1] * 1000 + math.floor(time[2] / 1000)
   if math.abs(now - tonumber(ARGV[3])) > tonumber(ARGV[4]) then return { '', '' } end
   local uptime, same, ended = tonumber(ARGV[1]), ARGV[5], ARGV[6]
   local since = now - uptime * 1000 - tonumber(ARGV[2])
   local stored = redis.call('HMGET', KEYS[1], 'uptime', 'since', 'run', 'before', 'restart')
   -- What 0.1.0 stored has no run.
   local known = { uptime = tonumber(stored[1]), since = tonumber(stored[2]), run = stored[3], before = stored[4] }
   local restart = stored[5]
   local restarted = false
   if not known.uptime or not known.since then
     known.run = false
   elseif known.run and same == known.run then
     -- Goes on.
   elseif same ~= '' and known.run then
     -- Another process has noticed a restart, or Redis was emptied meanwhile: this one starts from nothing.
     return { '', '' }
   elseif ended ~= '' and ended == known.run then
     restarted = true
   elseif ended == '' or ended ~= known.before then
     restarted = since - known.since > tonumber(ARGV[8]) or uptime + tonumber(ARGV[9]) < known.uptime
   end
   if restarted then
     redis.call('HSET', KEYS[1], 'before', known.run or '', 'restart', uptime)
     restart = false
   end
   if restarted or not known.run then known.run = ARGV[7] end
   redis.call('HSET', KEYS[1], 'run', known.run, 'uptime', ARGV[1], 'since', string.format('%.0f', since))
   -- Later reports repeat a restart that is still open. Those of the same moment do not.
   local isOpen = restarted or (restart and uptime > tonumber(restart))
   return { known.run, isOpen and string.format('%.0f', since) or '' }`,
);

/** KEYS broker · ARGV run */
const actedScript = new RedisScript<number>(
  'ccBrokerRestartActed',
  `if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return 0 end
   return redis.call('HDEL', KEYS[1], 'restart')`,
);

export class BrokerRuns {
  /** The run that is going on, as far as this process has seen. */
  private run: string | undefined;
  /** The run that this process knew, and saw the end of, before it knows the next one. */
  private ended: string | undefined;

  constructor(
    /** A connection that fails while Redis is away: what waits there would be late. */
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly freshMs = FRESH_MS,
  ) {}

  /** @returns a restart that is to be acted on; `acted` says that it was. Rejects with what Redis or the connection says. */
  async report({ seconds, at, run }: UptimeReport): Promise<BrokerRestart | undefined> {
    if (run !== 'same') {
      if (run === 'new') this.ended ??= this.run;
      this.run = undefined;
    }
    const known = this.run;
    const { broker } = this.keys;
    const clock = await clockScript.run(this.redis, [broker], []);
    const age = Math.round(performance.now() - at);
    if (age > this.freshMs) return undefined;
    const names = [known ?? '', this.ended ?? '', randomUUID()];
    const args = [seconds, age, clock, this.freshMs, ...names, TOLERANCE_MS, DISORDER_SECONDS];
    const [found, since] = await uptimeScript.run(this.redis, [broker], args);
    // Another report of this process has come in between.
    if (this.run !== known) return undefined;
    if (found === '') {
      this.run = undefined;
      return undefined;
    }
    this.run = found;
    this.ended = undefined;
    return since === '' ? undefined : { run: found, since: Number(since) };
  }

  async acted({ run }: BrokerRestart): Promise<void> {
    await actedScript.run(this.redis, [this.keys.broker], [run]);
  }
}
