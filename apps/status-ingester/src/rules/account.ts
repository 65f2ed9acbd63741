/** Whose a connection is: asked when a client comes online, and kept until the answer says otherwise. Pure. */
import type { AccountQuestion, Connection } from '@app/registry';
import type { Effect, Rules, Transition } from './effect.js';
import { NOTHING_WAITS, statesConnection } from './waiting-events.js';

/** A client that has no account is asked about again after this. */
const NONE_AGAIN_MS = 600_000;

/** The account of a client that shakes hands, and what is to be done about it. */
export function accountOf(
  before: Connection | undefined,
  clientId: string,
  { accountOf: known }: Rules,
): { account: string | null; asked?: AccountQuestion | undefined; effects: Effect[] } {
  const now = before?.account ?? null;
  const asked = before?.account_asked;
  const knownNow = (account: string | null): Effect[] =>
    asked !== undefined || account !== now ? [{ kind: 'account-known' }] : [];
  if (known === undefined) return { account: null, effects: knownNow(null) };
  if (before?.state === 'online' && now !== null) return { account: now, asked, effects: [] };
  const todo = { do: 'account', client_id: clientId } as const;
  const found = known(clientId);
  switch (found.kind) {
    case 'account':
      return { account: found.account, effects: [{ kind: 'undo', todo }, ...knownNow(found.account)] };
    case 'none':
      return { account: null, effects: [{ kind: 'to-do', todo, inMs: NONE_AGAIN_MS }, ...knownNow(null)] };
    case 'ask':
      return { account: now, asked: asked ?? NOTHING_WAITS, effects: [{ kind: 'to-do', todo }] };
  }
}

/** What whoever was asked has answered. */
export function setAccount(before: Connection, account: string | null): Transition {
  const { account_asked: asked, ...connection } = before;
  const { client_id, type, handshake_message_id } = connection;
  const todo = { do: 'account', client_id } as const;
  const effects: Effect[] = [account === null ? { kind: 'to-do', todo, inMs: NONE_AGAIN_MS } : { kind: 'undo', todo }];
  const moved = account !== (connection.account ?? null);
  if (!moved && asked === undefined) return { connection: before, effects };
  effects.push({ kind: 'account-known' });
  if (connection.state === 'online') {
    // What waited for the answer can go out.
    effects.push({ kind: 'came-online' });
    const isEmitted = asked !== undefined && (asked.is_late || statesConnection(asked));
    // To those who are bound to the account it is news that the connection is there.
    const event = { type: 'connection.updated', client_id, connection_type: type, handshake_message_id } as const;
    if (moved && !isEmitted) effects.push({ kind: 'event', event });
  }
  return { connection: { ...connection, account }, effects };
}
