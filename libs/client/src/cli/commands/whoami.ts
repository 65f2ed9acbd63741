/** The command `whoami`. */
import type { Context } from '../context.js';
import { EXIT } from '../failures.js';

export async function whoami({ connector, out }: Context): Promise<number> {
  await out.describe(await connector.whoami());
  return EXIT.done;
}
