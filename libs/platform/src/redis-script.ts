import type { Redis } from './redis.js';

export interface ScriptOptions {
  /**
   * What happens when Redis has reached its `maxmemory`. `run`: it runs all the same, since it frees, renews or is bounded.
   * `refuse`: it fails with `RedisFullError` at its first write, before anything is stored.
   */
  whenFull: 'run' | 'refuse';
}

/** Redis reads a script's flags from its first line. */
const ALLOW_OOM = '#!lua flags=allow-oom\n';

/**
 * A Lua script: one atomic act. Runs by its digest; on a server that does not know it yet, ioredis sends the text.
 * All keys of a call lie on one hash slot.
 */
export class RedisScript<Reply> {
  constructor(
    private readonly name: string,
    private readonly lua: string,
    private readonly options: ScriptOptions = { whenFull: 'run' },
  ) {}

  /** Runs the script; rejects with what Redis or the connection says. */
  async run(redis: Redis, keys: readonly string[], args: readonly (string | number)[]): Promise<Reply> {
    if (!(this.name in redis)) {
      redis.defineCommand(this.name, { lua: this.options.whenFull === 'run' ? ALLOW_OOM + this.lua : this.lua });
    }
    const call = (redis as unknown as Record<string, ScriptCall>)[this.name];
    return (await call?.call(redis, keys.length, ...keys, ...args)) as Reply;
  }
}

type ScriptCall = (keyCount: number, ...args: (string | number)[]) => unknown;
