/** The account of a connection: asked for when its client comes online, and kept until the answer says otherwise. Pure. */
import type { AccountLookup, Connection } from '@app/registry';
import type { Effect, Rules, Transition } from './effect.js';
import { NOTHING_WAITS, statesConnection } from './waiting-events.js';

/** Time after which the account of a client without one is asked for again. */
const ASK_AGAIN_MS = 600_000;

/** The account of a client that shakes hands, and the effects that follow. */
export function accountOf(
  before: Connection | undefined,
  clientId: string,
  { accountOf: known }: Rules,
): { account: string | null; asked?: AccountLookup | undefined; effects: Effect[] } {
  const current = before?.account ?? null;
  const asked = before?.account_asked;
  const becomesKnown = (account: string | null): Effect[] =>
    asked !== undefined || account !== current ? [{ kind: 'account-known' }] : [];
  if (known === undefined) return { account: null, effects: becomesKnown(null) };
  if (before?.state === 'online' && current !== null) return { account: current, asked, effects: [] };
  const todo = { do: 'account', client_id: clientId } as const;
  const found = known(clientId);
  switch (found.kind) {
    case 'account':
      return { account: found.account, effects: [{ kind: 'undo', todo }, ...becomesKnown(found.account)] };
    case 'none':
      return { account: null, effects: [{ kind: 'to-do', todo, inMs: ASK_AGAIN_MS }, ...becomesKnown(null)] };
    case 'ask':
      return { account: current, asked: asked ?? NOTHING_WAITS, effects: [{ kind: 'to-do', todo }] };
  }
}

/** Applies the answer to the question for the account. */
export function setAccount(before: Connection, account: string | null): Transition {
  const { account_asked: asked, ...connection } = before;
  const { client_id, type, handshake_message_id } = connection;
  const todo = { do: 'account', client_id } as const;
  const effects: Effect[] = [account === null ? { kind: 'to-do', todo, inMs: ASK_AGAIN_MS } : { kind: 'undo', todo }];
  const moved = account !== (connection.account ?? null);
  if (!moved && asked === undefined) return { connection: before, effects };
  effects.push({ kind: 'account-known' });
  if (connection.state === 'online') {
    // Messages that waited for the answer can be sent.
    effects.push({ kind: 'came-online' });
    const isEmitted = asked !== undefined && (asked.is_late || statesConnection(asked));
    // Callers that are bound to the account do not know the connection yet.
    const event = { type: 'connection.updated', client_id, connection_type: type, handshake_message_id } as const;
    if (moved && !isEmitted) effects.push({ kind: 'event', event });
  }
  return { connection: { ...connection, account }, effects };
}
