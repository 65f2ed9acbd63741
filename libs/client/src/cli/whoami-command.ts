/** The command `whoami`. */
import { shown, type Context } from './context.js';
import { EXIT } from './failures.js';

export async function whoami({ connector, out }: Context): Promise<number> {
  const caller = await connector.whoami();
  if (out.json) await out.object(caller);
  else {
    const { id, account, scopes } = caller;
    await out.table(
      ['member', 'value'],
      [
        ['id', id],
        ['account', shown(account)],
        ['scopes', scopes.join(', ')],
      ],
    );
  }
  return EXIT.done;
}
