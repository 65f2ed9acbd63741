/** The mailboxes of a spec, on a real Redis: each test has a key space of its own. */
import type { Redis } from '@app/platform';
import {
  Mailboxes,
  ShardingKeys,
  type AppendOutcome,
  type Grant,
  type LaneItem,
  type MailboxEntry,
} from '@app/sharding';
import { withRedis } from './redis.js';

export const SHARDS = 8;

let keySpaces = 0;

export class MailboxBench {
  readonly keys = new ShardingKeys(`mailbox${keySpaces++}`);

  constructor(readonly redis: Redis) {}

  /** Mailboxes on which the owner of a lane has announced itself for every shard. */
  async announcedBy(owner: Grant, limit = 100): Promise<Mailboxes> {
    const mailboxes = new Mailboxes(this.redis, this.keys, limit);
    await mailboxes.announce(owner, SHARDS);
    return mailboxes;
  }

  async entries(shard: number): Promise<MailboxEntry[]> {
    const entries = await this.redis.xrange(this.keys.mailbox(shard), '-', '+');
    return entries.map(([id, [, text = '']]) => ({ id, text }));
  }

  async texts(shard: number): Promise<string[]> {
    return (await this.entries(shard)).map(({ text }) => text);
  }
}

/** `begin` is given the bench of each test. */
export function withMailboxes(begin: (bench: MailboxBench) => void): void {
  let redis: Redis;
  withRedis((connection) => (redis = connection));
  beforeEach(() => begin(new MailboxBench(redis)));
}

export function lane(epoch: number, index = 0, boot = 'boot'): Grant {
  return { kind: 'lane', index, epoch, fence: `${epoch}:${boot}` };
}

export function items(...texts: string[]): LaneItem[] {
  return texts.map((text) => ({ text }));
}

export async function outcomesOf(
  mailboxes: Mailboxes,
  ...append: Parameters<Mailboxes['append']>
): Promise<Map<number, AppendOutcome>> {
  return (await mailboxes.append(...append)).outcomes;
}
