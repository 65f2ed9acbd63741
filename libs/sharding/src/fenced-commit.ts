/**
 * The fenced commit: one script on one hash slot applies all writes of a batch of mailbox entries and advances the shard's
 * position, and only if the caller still owns the shard. So each entry is applied exactly once, even if another process
 * believes that it owns the shard.
 */
import type { Redis } from '@app/platform';
import { commands } from './commands.js';
import { StaleOwnerError, type Grant } from './ownership.js';
import type { LogStream } from './shard-log.js';
import type { ShardingKeys } from './sharding-keys.js';

/** One write of a commit. All its keys are on the shard's hash slot. */
export type ShardWrite = RedisWrite | MembersWrite | LogAppend;

/** An entry for a stream of the shard's log. */
export interface LogAppend {
  stream: LogStream;
  /** Field and value in turn. */
  fields: readonly (string | number)[];
}

export interface RedisWrite {
  /** Name, key and arguments; at most `MAX_WRITE_ARGS`. */
  command: readonly (string | number)[];
  /** The write is done only if this key exists when the commit reaches it; the outcome says whether it was done. */
  ifExists?: string;
}

/** A command for each of some members whose own key exists. The outcome says for each member whether it was done, in order. */
export interface MembersWrite {
  /** Name, key and arguments; the member follows as the last argument. */
  command: readonly (string | number)[];
  /** Ids; at most `MAX_WRITE_ARGS`. */
  members: readonly string[];
  /** A member's key is this prefix and the member. */
  ifExistsPrefix: string;
}

/** Lua unpacks the arguments of a command onto its stack, which holds 8,000 values. */
export const MAX_WRITE_ARGS = 4000;

export type CommitOutcome =
  /** `guarded`: whether each write with `ifExists`, and each member of a `MembersWrite`, was done, in order. */
  | { kind: 'committed'; guarded: boolean[] }
  /** An earlier attempt of the same commit was applied, but its reply was lost. */
  | { kind: 'repeated' };

/** The shard is not at the position from which the commit starts: the caller must read the position again. */
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

  /** Id of the last mailbox entry that was applied; `0-0` if there is none. */
  async position(shard: number): Promise<string> {
    return (await this.redis.get(this.keys.position(shard))) ?? '0-0';
  }

  /**
   * Applies `writes` and advances the position from `from` to `to`. If both are equal, the position stays. A commit may be
   * repeated.
   * @throws StaleOwnerError, PositionError, or a RedisError
   */
  async commit(shard: Grant, from: string, to: string, writes: readonly ShardWrite[]): Promise<CommitOutcome> {
    const packed: (string | number)[] = [];
    for (const write of writes) {
      if ('stream' in write) {
        const { key, name, share } = write.stream;
        packed.push(-write.fields.length, key, name, share, ...write.fields);
        continue;
      }
      if ('members' in write) {
        const { command, members, ifExistsPrefix } = write;
        refuseIfTooLong(members);
        packed.push(0, ifExistsPrefix, command.length, ...command, members.length, ...members);
        continue;
      }
      const { command, ifExists } = write;
      refuseIfTooLong(command);
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

function refuseIfTooLong({ length }: readonly unknown[]): void {
  if (length > MAX_WRITE_ARGS) throw new RangeError(`a write has ${length} arguments; split it`);
}

/** The smallest stream id after this one. */
function following(id: string): string {
  const dash = id.indexOf('-');
  return `${id.slice(0, dash)}-${BigInt(id.slice(dash + 1)) + 1n}`;
}
