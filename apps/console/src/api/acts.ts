/**
 * Every action of the console, as the request that it sends. The button that runs it and the `curl` beside it are made of the
 * same description, so they cannot differ.
 */
import type { Method, SendMessage } from '@cloud-connector/client';

export interface Act {
  method: Method;
  /** The path as in the OpenAPI document, such as `/v1/connections/{client_id}`. */
  url: string;
  path?: Record<string, string>;
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string | undefined>;
  body?: unknown;
}

const client = (clientId: string): { path: Record<string, string> } => ({ path: { client_id: clientId } });
const message = (messageId: string): { path: Record<string, string> } => ({ path: { message_id: messageId } });

export const acts = {
  /** With the same key a message is accepted once, however often it is sent. */
  send: (clientId: string, body: SendMessage, key?: string): Act => ({
    method: 'POST',
    url: '/v1/connections/{client_id}/messages',
    ...client(clientId),
    ...(key !== undefined && { headers: { 'Idempotency-Key': key } }),
    body,
  }),
  forceOff: (clientId: string, reconnectAfter: string): Act => ({
    method: 'POST',
    url: '/v1/connections/{client_id}/force-disconnect',
    ...client(clientId),
    body: { reconnect_after: reconnectAfter },
  }),
  lift: (clientId: string): Act => ({
    method: 'DELETE',
    url: '/v1/connections/{client_id}/refusal',
    ...client(clientId),
  }),
  verify: (clientId: string): Act => ({
    method: 'POST',
    url: '/v1/connections/{client_id}/verify',
    ...client(clientId),
  }),
  forget: (clientId: string): Act => ({ method: 'DELETE', url: '/v1/connections/{client_id}', ...client(clientId) }),
  cancel: (messageId: string): Act => ({ method: 'DELETE', url: '/v1/messages/{message_id}', ...message(messageId) }),
  startSweep: (): Act => ({ method: 'POST', url: '/v1/cluster/sweeps' }),
};
