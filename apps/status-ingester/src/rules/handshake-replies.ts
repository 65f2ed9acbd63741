/**
 * Answers to a client that are no refusals: responses to accepted handshakes, and force-disconnects. Of each kind only the
 * newest waits for the broker. An answer, with its message id, is computed from the stored connection alone: so the next
 * answer can undo the last one without any other record of it. Pure.
 */
import { createHash } from 'node:crypto';
import type { Connection, ForceDisconnected, ToDo } from '@app/registry';

type Reply = Extract<ToDo, { do: 'reply' }>;

/** The response to the last accepted handshake. */
export function handshakeResponse(
  connection: Pick<Connection, 'client_id' | 'connected_at' | 'handshake_message_id'>,
): Reply {
  const { client_id, connected_at, handshake_message_id: in_response_to } = connection;
  const reply = { type: 'handshake-response', in_response_to } as const;
  return { do: 'reply', client_id, reply, message_id: idOf(client_id, reply.type, connected_at, in_response_to) };
}

export function forceDisconnect(
  { client_id }: Pick<Connection, 'client_id'>,
  { reconnect_after, at }: ForceDisconnected,
): Reply {
  const reply = { type: 'force-disconnect', payload: { reconnect_after } } as const;
  return { do: 'reply', client_id, reply, message_id: idOf(client_id, reply.type, at, reconnect_after) };
}

/** All answers that may still wait for this client. */
export function waitingReplies(connection: Connection): Reply[] {
  const last = connection.force_disconnect;
  return [handshakeResponse(connection), ...(last === undefined ? [] : [forceDisconnect(connection, last)])];
}

/** A UUID of version 8 (RFC 9562). The same answer always gets the same id. */
function idOf(...parts: readonly (string | number)[]): string {
  const bytes = createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
