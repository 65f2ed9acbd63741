/**
 * The fenced commit: what a batch of mailbox entries changes lands in one script on one hash slot, together with
 * the advance of the mailbox, and only if the caller is still the shard's owner. So each transition happens
 * exactly once, whoever else believes to own the shard.
 */
import { RedisScript, type Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from './ownership.js';
import { logScript, type LogStream } from './shard-log.js';
import type { ShardingKeys } from './sharding-keys.js';

/** What a commit does on the shard's slot. */
export type ShardWrite = RedisWrite | LogAppend;

/** An entry for a stream of the shard's log. */
export interface LogAppend {
  stream: LogStream;
  /** Field, value … */
  fields: readonly (string | number)[];
}

export interface RedisWrite {
  /** Name, key and arguments; at most `MAX_WRITE_ARGS`. */
  command: readonly (string | number)[];
  /** Done only if this key exists at that moment; whether it was is part of the outcome. */
  ifExists?: string;
}

/** Lua unpacks a command's arguments onto its stack, which has room for 8,000. */
export const MAX_WRITE_ARGS = 4000;

export type CommitOutcome =
  /** `guarded`: for each write with `ifExists`, in order, whether it was done. */
  | { kind: 'committed'; guarded: boolean[] }
  /** An earlier try of the same commit had got through. */
  | { kind: 'repeated' };

/** The shard's position is not where the commit says: the caller must read it anew. */
export class PositionError extends Error {
  override readonly name = 'PositionError';
}

/**
 * KEYS owner, position, mailbox, log
 * ARGV fence, from, to, trim ('' for a commit that does not advance), then for each write: argument count, guard, arguments;
 *   for each append: field count as a negative number, stream, name, share, fields
 * → 'stale' | 'repeated' | 'at:<position>' | list of 0/1 for the guarded writes.
 */
const commitScript = new RedisScript<string | number[]>(
  'ccCommit',
  logScript(`
   if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'stale' end
   local position = redis.call('GET', KEYS[2]) or '0-0'
   if position == ARGV[3] and ARGV[2] ~= ARGV[3] then return 'repeated' end
   if position ~= ARGV[2] then return 'at:' .. position end
   local guarded = {}
   local i = 5
   while i <= #ARGV do
     local count, guard = tonumber(ARGV[i]), ARGV[i + 1]
     if count < 0 then
       log_append(KEYS[4], guard, ARGV[i + 2], tonumber(ARGV[i + 3]), { unpack(ARGV, i + 4, i + 3 - count) })
       i = i + 4 - count
     else
       local done = guard == '' or redis.call('EXISTS', guard) == 1
       if done then redis.call(unpack(ARGV, i + 2, i + 1 + count)) end
       if guard ~= '' then guarded[#guarded + 1] = done and 1 or 0 end
       i = i + 2 + count
     end
   end
   if ARGV[4] ~= '' then
     redis.call('SET', KEYS[2], ARGV[3])
     redis.call('XTRIM', KEYS[3], 'MINID', ARGV[4])
   end
   return guarded`),
);

export class FencedCommit {
  constructor(
    private readonly redis: Redis,
    private readonly keys: ShardingKeys,
  ) {}

  /** Id of the last applied mailbox entry, `0-0` before the first. */
  async position(shard: number): Promise<string> {
    return (await this.redis.get(this.keys.position(shard))) ?? '0-0';
  }

  /**
   * Applies `writes` and advances the mailbox from `from` to `to` (equal: no advance). Safe to repeat.
   * @throws StaleOwnerError, PositionError, or what Redis says.
   */
  async commit(shard: Grant, from: string, to: string, writes: readonly ShardWrite[]): Promise<CommitOutcome> {
    const args: (string | number)[] = [shard.fence, from, to, from === to ? '' : following(to)];
    for (const write of writes) {
      if ('stream' in write) {
        const { key, name, share } = write.stream;
        args.push(-write.fields.length, key, name, share, ...write.fields);
        continue;
      }
      const { command, ifExists } = write;
      if (command.length > MAX_WRITE_ARGS) throw new RangeError(`a write has ${command.length} arguments; split it`);
      args.push(command.length, ifExists ?? '', ...command);
    }
    const { index } = shard;
    const keys = [this.keys.owner(shard), this.keys.position(index), this.keys.mailbox(index), this.keys.log(index)];
    const reply = await commitScript.run(this.redis, keys, args);
    if (Array.isArray(reply)) return { kind: 'committed', guarded: reply.map((done) => done === 1) };
    if (reply === 'repeated') return { kind: 'repeated' };
    if (reply === 'stale') throw new StaleOwnerError(shard);
    throw new PositionError(`shard ${index} stands ${reply}, not at ${from}: read its mailbox from there`);
  }
}

/** The smallest stream id after this one. */
function following(id: string): string {
  const dash = id.indexOf('-');
  return `${id.slice(0, dash)}-${BigInt(id.slice(dash + 1)) + 1n}`;
}
