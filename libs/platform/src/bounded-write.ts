import { LuaCommands } from './lua-commands.js';
import type { Redis } from './redis.js';

type BoundedCommand = 'SET' | 'HSET' | 'XADD';

const write = new LuaCommands(`${import.meta.dirname}/commands`).load<
  { key: string },
  { command: BoundedCommand; values: readonly (string | number)[] },
  unknown
>('bounded-write');

/** One write that Redis does even if it has reached its `maxmemory`. The caller keeps the written key bounded. */
export async function boundedWrite(
  redis: Redis,
  command: BoundedCommand,
  key: string,
  ...values: readonly (string | number)[]
): Promise<void> {
  await write.run(redis, { key }, { command, values });
}
