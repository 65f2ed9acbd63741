/**
 * A walk over all stored messages, shard by shard: unfinished ones by the end of their time to live, those that await an answer by their
 * deadline, and finished ones, those of each payer with the newest first. There is no index for it: it looks at the sets that exist. A
 * message that is stored all the time is found; one that changes may be found twice.
 */
import type { Redis } from '@app/platform';
import { messageCommands } from '../commands.js';
import type { MessageKeys, RegistryKeys } from '../keys.js';
import type { MessageStatus } from '../message-status.js';
import type { Candidate, MessagePage } from './message-page.js';

export const WALKED_SETS = ['unfinished', 'awaiting', 'finished'] as const;
export type WalkedSet = (typeof WALKED_SETS)[number];

/** After a message or, without `id`, after a list. `walk-messages.lua` says what the others are. */
export interface WalkPosition {
  shard: number;
  set: WalkedSet | '';
  score: string;
  name: string;
  id: string;
  place: number;
}

/** Shards that one step reads at the same time, at most. */
const MAX_SHARDS_PER_STEP = 32;
/** A script that looks at fewer could not go on. */
const LEAST_LOOKED_AT = 2;

const walkMessages = messageCommands.load<
  MessageKeys,
  { sets: string; count: number; set: string; score: string; name: string; id: string; place: number },
  {
    looked: number;
    found: [id: string, set: WalkedSet, score: string, name: string, place: number][];
    next: string[];
  }
>('walk-messages');

/** Fills a page. @returns the position at which the next page begins; undefined if there is none */
export async function walk(
  redis: Redis,
  keys: RegistryKeys,
  shardCount: number,
  page: MessagePage<WalkPosition>,
  status?: MessageStatus,
  from: WalkPosition = startOf(0),
): Promise<WalkPosition | undefined> {
  const sets = `|${setsWith(status).join('|')}|`;
  let position = from;
  // Start with one shard, since it often fills the page, and read more at a time if messages are sparse.
  for (let width = 1; position.shard < shardCount; width = Math.min(MAX_SHARDS_PER_STEP, 2 * width)) {
    if (page.isFull()) return position;
    const { shard } = position;
    const starts = Array.from({ length: Math.min(width, shardCount - shard) }, (_, i) =>
      i === 0 ? position : startOf(shard + i),
    );
    const count = Math.max(LEAST_LOOKED_AT, page.left);
    const steps = await Promise.all(
      starts.map(({ shard: index, ...at }) => walkMessages.run(redis, keys.ofMessages(index), { sets, count, ...at })),
    );
    for (const [i, { looked, found, next }] of steps.entries()) {
      const index = shard + i;
      const candidates = found.map(([id, set, score, name, place]): Candidate<WalkPosition> => ({
        id,
        position: { shard: index, set, score, name, id, place },
      }));
      await page.add(index, candidates);
      // The lists.
      page.lookedAt += looked - found.length;
      const last = candidates.at(-1)?.position;
      if (last !== undefined && page.position !== last) return page.position ?? starts[i];
      const [set, score = '', name = ''] = next;
      if (set !== undefined) {
        position = last ?? { shard: index, set: set as WalkedSet, score, name, id: '', place: 0 };
        break;
      }
      position = startOf(index + 1);
      if (page.isFull()) break;
    }
  }
  return undefined;
}

function startOf(shard: number): WalkPosition {
  return { shard, set: '', score: '', name: '', id: '', place: 0 };
}

/** The sets that may have messages with this status. */
function setsWith(status: MessageStatus | undefined): readonly WalkedSet[] {
  if (status === undefined) return WALKED_SETS;
  if (status === 'queued' || status === 'held' || status === 'in_flight') return ['unfinished'];
  return status === 'sent' ? ['awaiting', 'finished'] : ['finished'];
}
