/**
 * The fenced commit: what a batch of mailbox entries changes lands in one script on one hash slot, together with
 * the advance of the mailbox, and only if the caller is still the shard's owner. So each transition happens
 * exactly once, whoever else believes to own the shard.
 */
import type { Redis } from '@app/platform';
import { commands } from './commands.js';
import { StaleOwnerError, type Grant } from './ownership.js';
import type { LogStream } from './shard-log.js';
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

/** The shard is not at the position that the commit starts from: the caller must read the position again. */
export class PositionError extends Error {
  override readonly name = 'PositionError';
}

const commitCommand = commands.load<
  { owner: string; position: string; mailbox: string; log: string },
  { fence: string; from: string; to: string; trim: string; writes: readonly (string | number)[] },
  string | (0 | 1)[]
>('commit');

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
    const packed: (string | number)[] = [];
    for (const write of writes) {
      if ('stream' in write) {
        const { key, name, share } = write.stream;
        packed.push(-write.fields.length, key, name, share, ...write.fields);
        continue;
      }
      const { command, ifExists } = write;
      if (command.length > MAX_WRITE_ARGS) throw new RangeError(`a write has ${command.length} arguments; split it`);
      packed.push(command.length, ifExists ?? '', ...command);
    }
    const { index } = shard;
    const keys = {
      owner: this.keys.owner(shard),
      position: this.keys.position(index),
      mailbox: this.keys.mailbox(index),
      log: this.keys.log(index),
    };
    const args = { fence: shard.fence, from, to, trim: from === to ? '' : following(to), writes: packed };
    const reply = await commitCommand.run(this.redis, keys, args);
    if (Array.isArray(reply)) return { kind: 'committed', guarded: reply.map((done) => done === 1) };
    if (reply === 'repeated') return { kind: 'repeated' };
    if (reply === 'stale') throw new StaleOwnerError(shard);
    throw new PositionError(
      `shard ${index} is at position ${reply.slice('at:'.length)}, not at ${from}: read its mailbox from there`,
    );
  }
}

/** The smallest stream id after this one. */
function following(id: string): string {
  const dash = id.indexOf('-');
  return `${id.slice(0, dash)}-${BigInt(id.slice(dash + 1)) + 1n}`;
}
