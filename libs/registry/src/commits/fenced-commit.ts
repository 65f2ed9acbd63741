/**
 * The fenced commit: one script on one hash slot does all acts of a batch of mailbox entries and advances the shard's position, if
 * the fence lets it pass (`@app/sharding`, `fence.ts`). `commands/includes/write-acts.lua` and `report-acts.lua` say which acts
 * there are. A batch without reports of clients uses a script that does not know them.
 */
import { sendSoon, type Redis } from '@app/platform';
import {
  fenceArgs,
  fenceKeys,
  positionOf,
  refusalOf,
  type FenceArgs,
  type FenceKeys,
  type Grant,
  type LogAppend,
} from '@app/sharding';
import { commands, messageCommands } from '../commands.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';
import type { ReportAct, ReportOutcome } from '../messages/report-act.js';

/** One act of a commit. All its keys are on the shard's hash slot. */
export type CommitAct = ShardWrite | ReportAct;

export type ShardWrite = RedisWrite | MembersWrite | LogAppend;

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
  /**
   * `guarded`: whether each write with `ifExists`, and each member of a `MembersWrite`, was done, in order. `reports`: the
   * outcome of each report of a client, in order.
   */
  | { kind: 'committed'; guarded: boolean[]; reports: ReportOutcome[] }
  /** An earlier attempt of the same commit was applied, but its reply was lost. */
  | { kind: 'repeated' };

type Args = FenceArgs & { acts: readonly (string | number)[] };
type Reply = string | (0 | 1 | ReportOutcome)[];

const commitWrites = commands.load<FenceKeys & { log: string }, Args, Reply>('commit');
const commitReports = messageCommands.load<FenceKeys & MessageKeys, Args, Reply>('commit-reports');

export class FencedCommit {
  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
  ) {}

  /** Id of the last mailbox entry that was applied; `0-0` if there is none. */
  position(shard: number): Promise<string> {
    return positionOf(this.redis, this.keys, shard);
  }

  /**
   * Does the acts in their order, and advances the position from `from` to `to`. If both are equal, the position stays. A commit
   * may be repeated.
   * @throws StaleOwnerError, PositionError, or a RedisError
   */
  async commit(shard: Grant, from: string, to: string, acts: readonly CommitAct[]): Promise<CommitOutcome> {
    const packed: (string | number)[] = [];
    for (const act of acts) pack(packed, act);
    const fence = fenceKeys(this.keys, shard);
    const args = { ...fenceArgs(shard, from, to), acts: packed };
    const sent = acts.some((act) => 'report' in act)
      ? commitReports.run(this.redis, { ...this.keys.ofMessages(shard.index), ...fence }, args)
      : commitWrites.run(this.redis, { ...fence, log: this.keys.log(shard.index) }, args);
    // An application may wait for it; the replies to appends, which have come with the entries, have time.
    sendSoon(this.redis);
    const reply = await sent;
    if (!Array.isArray(reply)) return { kind: refusalOf(shard, from, reply) };
    const guarded: boolean[] = [];
    const reports: ReportOutcome[] = [];
    for (const outcome of reply) {
      if (typeof outcome === 'number') guarded.push(outcome === 1);
      else reports.push(outcome);
    }
    return { kind: 'committed', guarded, reports };
  }
}

function pack(packed: (string | number)[], act: CommitAct): void {
  if ('stream' in act) {
    const { key, name, share } = act.stream;
    packed.push('append', key, name, share, act.fields.length, ...act.fields);
  } else if ('report' in act) {
    packed.push(...act.report);
  } else if ('members' in act) {
    const { command, members, ifExistsPrefix } = act;
    refuseIfTooLong(members);
    packed.push('members', ifExistsPrefix, command.length, ...command, members.length, ...members);
  } else {
    const { command, ifExists } = act;
    refuseIfTooLong(command);
    if (ifExists === undefined) packed.push('write', command.length, ...command);
    else packed.push('guarded', ifExists, command.length, ...command);
  }
}

function refuseIfTooLong({ length }: readonly unknown[]): void {
  if (length > MAX_WRITE_ARGS) throw new RangeError(`a write has ${length} arguments; split it`);
}
