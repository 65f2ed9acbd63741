/** One connection that is drained step by step, as a dispatcher would that has nothing else to do. */
import type { Redis } from '@app/platform';
import { shardOf } from '@app/protocol';
import type { ClaimedMessage, DrainStep, Outboxes, RegistryKeys, Settlement } from '@app/registry';

export type Drained =
  | { kind: 'claimed'; message: ClaimedMessage }
  | { kind: 'empty' | 'offline' | 'waiting' | 'interrupted' | 'superseded' | 'lost' };

type Settled<One> = One extends unknown ? Omit<One, 'clientId'> : never;

export class Draining {
  /** The run of the last step. */
  run: string | undefined;

  constructor(
    private readonly redis: Redis,
    private readonly keys: RegistryKeys,
    private readonly outboxes: Outboxes,
    private readonly clientId: string,
    private readonly shardCount: number,
  ) {}

  /** Starts a run, as a dispatcher does that has been woken, or takes over from one that is dead. */
  async claim(): Promise<Drained> {
    const { redis, keys, clientId, shard } = this;
    if ((await redis.sismember(keys.draining(shard), clientId)) === 0) await redis.zadd(keys.woken(shard), 0, clientId);
    return this.step(undefined, []);
  }

  /** Settles in the run; where that has lost track, in a new one. */
  async settle(settled: Settled<Settlement>, run = this.run): Promise<Drained> {
    const settlement = { ...settled, clientId: this.clientId };
    const drained = await this.step(run, [settlement]);
    return drained.kind === 'lost' ? this.step(undefined, [settlement]) : drained;
  }

  private get shard(): number {
    return shardOf(this.clientId, this.shardCount);
  }

  private async step(run: string | undefined, settlements: Settlement[]): Promise<Drained> {
    const step = await this.outboxes.step(this.shard, { run, underWay: 0, room: 1, settlements });
    this.run = step.run;
    return drainedOf(step);
  }
}

function drainedOf({ kind, claimed: [message], ends }: DrainStep): Drained {
  if (message !== undefined) return { kind: 'claimed', message };
  if (kind === 'superseded' || kind === 'lost') return { kind };
  for (const end of ['waiting', 'offline', 'interrupted'] as const) if (ends[end] > 0) return { kind: end };
  return { kind: 'empty' };
}
