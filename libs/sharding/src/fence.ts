/**
 * The fence of a commit: what a batch of mailbox entries writes counts only if the caller still owns the shard, and the shard
 * is at the position from which the batch starts. So each entry is applied exactly once, even if another process believes that
 * it owns the shard. `commands/includes/fence.lua` checks it, in the script of the library that writes.
 */
import type { Redis } from '@app/platform';
import { StaleOwnerError, type Grant } from './ownership.js';
import type { ShardingKeys } from './sharding-keys.js';

/** The shard is not at the position from which the commit starts: the caller must read the position again. */
export class PositionError extends Error {
  override readonly name = 'PositionError';
}

/** Id of the last mailbox entry that was applied; `0-0` if there is none. */
export async function positionOf(redis: Redis, keys: ShardingKeys, shard: number): Promise<string> {
  return (await redis.get(keys.position(shard))) ?? '0-0';
}

export type FenceKeys = Record<'owner' | 'position' | 'mailbox', string>;
export type FenceArgs = Record<'fence' | 'from' | 'to' | 'trim', string>;

export function fenceKeys(keys: ShardingKeys, shard: Grant): FenceKeys {
  return {
    owner: keys.owner(shard),
    position: keys.position(shard.index),
    mailbox: keys.mailbox(shard.index),
  };
}

/** The commit moves the position from `from` to `to`. If both are equal, the position stays. */
export function fenceArgs({ fence }: Grant, from: string, to: string): FenceArgs {
  return { fence, from, to, trim: from === to ? '' : following(to) };
}

/**
 * Reads why the fence has let a commit not pass.
 * @returns 'repeated' if an earlier attempt of the same commit was applied, but its reply was lost
 * @throws StaleOwnerError, PositionError
 */
export function refusalOf(shard: Grant, from: string, reply: string): 'repeated' {
  if (reply === 'repeated') return 'repeated';
  if (reply === 'stale') throw new StaleOwnerError(shard);
  throw new PositionError(
    `shard ${shard.index} is at position ${reply.slice('at:'.length)}, not at ${from}: read its mailbox from there`,
  );
}

/** The smallest stream id after this one. */
function following(id: string): string {
  const dash = id.indexOf('-');
  return `${id.slice(0, dash)}-${BigInt(id.slice(dash + 1)) + 1n}`;
}
