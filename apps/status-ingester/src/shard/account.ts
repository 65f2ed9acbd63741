/** Whose a connection is: asked when a client comes online, and kept until the answer says otherwise. Pure. */
import type { Connection } from '@app/registry';
import type { Effect, Rules, Transition } from './effect.js';

/** A client that has no account is asked about again after this. */
const NONE_AGAIN_MS = 600_000;

/** The account of a client that shakes hands, and what is to be done about it. */
export function accountOf(
  before: Connection | undefined,
  clientId: string,
  { accountOf: known }: Rules,
): { account: string | null; effects: Effect[] } {
  const now = before?.account ?? null;
  if (known === undefined) return { account: null, effects: [] };
  if (before?.state === 'online' && now !== null) return { account: now, effects: [] };
  const todo = { do: 'account', client_id: clientId } as const;
  const found = known(clientId);
  switch (found.kind) {
    case 'account':
      return { account: found.account, effects: [{ kind: 'undo', todo }] };
    case 'none':
      return { account: null, effects: [{ kind: 'to-do', todo, inMs: NONE_AGAIN_MS }] };
    case 'ask':
      return { account: now, effects: [{ kind: 'to-do', todo }] };
  }
}

/** What whoever was asked has answered. */
export function setAccount(connection: Connection, account: string | null): Transition {
  const { client_id, type, handshake_message_id } = connection;
  const todo = { do: 'account', client_id } as const;
  const effects: Effect[] = [account === null ? { kind: 'to-do', todo, inMs: NONE_AGAIN_MS } : { kind: 'undo', todo }];
  if (account === (connection.account ?? null)) return { connection, effects };
  if (connection.state === 'online') {
    // To those who are bound to the account it is news that the connection is there.
    const event = { type: 'connection.updated', client_id, connection_type: type, handshake_message_id } as const;
    effects.push({ kind: 'event', event });
  }
  return { connection: { ...connection, account }, effects };
}
