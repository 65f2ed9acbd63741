// Written by `npm run generate` from the OpenAPI document: do not edit.
import type { CallOptions, Requester } from '../requester.js';
import type * as Api from './types.gen.js';

/** One method for each operation of the API. */
export class Operations {
  constructor(protected readonly requester: Requester) {}

  /**
   * Members, shards, lanes, Redis and the broker.
   *
   * The ingesters that are members, the dispatchers and the gateways; the owner of each shard and lane, how many entries wait in each mailbox; the memory of Redis; and what ingesters found out about the broker: its limits, and what it lacks.
   */
  getCluster(
    options?: CallOptions,
  ): Promise<Api.GetClusterResponse> {
    const parts = {};
    return this.requester.call<Api.GetClusterData, Api.GetClusterResponse>('GET', '/v1/cluster', parts, options);
  }

  /**
   * Compare the whole registry with the broker.
   *
   * Reads everything that the broker retains for clients, and corrects the registry if it differs. One sweep runs at a time: if one is running, another one follows.
   *
   * @returns undefined if the gateway is of version 0.1.0
   */
  startSweep(
    options?: CallOptions,
  ): Promise<Api.StartSweepResponse | undefined> {
    const parts = {};
    return this.requester.call<Api.StartSweepData, Api.StartSweepResponse | undefined>('POST', '/v1/cluster/sweeps', parts, options);
  }

  /**
   * The last sweep.
   *
   * Its progress, and what it has corrected.
   */
  getLatestSweep(
    options?: CallOptions,
  ): Promise<Api.GetLatestSweepResponse> {
    const parts = {};
    return this.requester.call<Api.GetLatestSweepData, Api.GetLatestSweepResponse>('GET', '/v1/cluster/sweeps/latest', parts, options);
  }

  /**
   * One sweep.
   *
   * Its progress, and what it has corrected. The last 100 sweeps are kept, for 30 days.
   */
  getSweep(
    sweepId: string,
    options?: CallOptions,
  ): Promise<Api.GetSweepResponse> {
    const parts = { path: { sweep_id: sweepId } };
    return this.requester.call<Api.GetSweepData, Api.GetSweepResponse>('GET', '/v1/cluster/sweeps/{sweep_id}', parts, options);
  }

  /**
   * Dead letters.
   *
   * Messages of clients that could not be processed, with the reason: about the newest 1,000 of each shard.
   */
  listDeadLetters(
    query: NonNullable<Api.ListDeadLettersData['query']> = {},
    options?: CallOptions,
  ): Promise<Api.ListDeadLettersResponse> {
    const parts = { query, ranges: { limit: [1, 200] } };
    return this.requester.call<Api.ListDeadLettersData, Api.ListDeadLettersResponse>('GET', '/v1/cluster/dead-letters', parts, options);
  }

  /**
   * List connections.
   *
   * By state, type, reason for being offline, first characters of the client id, held messages, refusal and exact facts; all of them must match. A page looks at about 2 MiB of connections, so it may have fewer items than its limit, even none, and a next page may follow.
   */
  listConnections(
    query: NonNullable<Api.ListConnectionsData['query']> = {},
    options?: CallOptions,
  ): Promise<Api.ListConnectionsResponse> {
    const parts = { query, ranges: { limit: [1, 1000] } };
    return this.requester.call<Api.ListConnectionsData, Api.ListConnectionsResponse>('GET', '/v1/connections', parts, options);
  }

  /**
   * Count connections by state and type.
   *
   * A caller that is bound to an account gets the numbers of its account.
   */
  summarizeConnections(
    options?: CallOptions,
  ): Promise<Api.SummarizeConnectionsResponse> {
    const parts = {};
    return this.requester.call<Api.SummarizeConnectionsData, Api.SummarizeConnectionsResponse>('GET', '/v1/connections/summary', parts, options);
  }

  /**
   * One connection.
   *
   * The state of a client, and the facts of its last accepted handshake.
   */
  getConnection(
    clientId: string,
    options?: CallOptions,
  ): Promise<Api.GetConnectionResponse> {
    const parts = { path: { client_id: clientId } };
    return this.requester.call<Api.GetConnectionData, Api.GetConnectionResponse>('GET', '/v1/connections/{client_id}', parts, options);
  }

  /**
   * Forget an offline connection.
   *
   * Removes it from the registry. A connection that is online is not forgotten: 409.
   */
  forgetConnection(
    clientId: string,
    options?: CallOptions,
  ): Promise<Api.ForgetConnectionResponse> {
    const parts = { path: { client_id: clientId } };
    return this.requester.call<Api.ForgetConnectionData, Api.ForgetConnectionResponse>('DELETE', '/v1/connections/{client_id}', parts, options);
  }

  /**
   * Disconnect a client.
   *
   * Tells the client to disconnect and refuses its handshakes until `reconnect_after`. The connection's state changes when the client is gone.
   *
   * @returns undefined if the gateway is of version 0.1.0
   */
  forceDisconnect(
    clientId: string,
    reconnectAfter: Api.ForceDisconnectData['body']['reconnect_after'],
    options?: CallOptions,
  ): Promise<Api.ForceDisconnectResponse | undefined> {
    const parts = { path: { client_id: clientId }, body: { reconnect_after: reconnectAfter } };
    return this.requester.call<Api.ForceDisconnectData, Api.ForceDisconnectResponse | undefined>('POST', '/v1/connections/{client_id}/force-disconnect', parts, options);
  }

  /**
   * Compare a connection with the broker.
   *
   * Reads what the broker retains for the client now and corrects the registry if it differs. If the client keeps changing its state, this may take longer than the request can wait.
   */
  verifyConnection(
    clientId: string,
    options?: CallOptions,
  ): Promise<Api.VerifyConnectionResponse> {
    const parts = { path: { client_id: clientId } };
    return this.requester.call<Api.VerifyConnectionData, Api.VerifyConnectionResponse>('POST', '/v1/connections/{client_id}/verify', parts, options);
  }

  /**
   * Accept a refused client again.
   *
   * Ends the refusal window of a force-disconnect, if there is one.
   */
  liftRefusal(
    clientId: string,
    options?: CallOptions,
  ): Promise<Api.LiftRefusalResponse> {
    const parts = { path: { client_id: clientId } };
    return this.requester.call<Api.LiftRefusalData, Api.LiftRefusalResponse>('DELETE', '/v1/connections/{client_id}/refusal', parts, options);
  }

  /**
   * List messages across connections.
   *
   * There is no index for it: a page looks at 1,000 stored messages at most, so it may have fewer items than its limit, even none, and a next page may follow. Messages come shard by shard: unfinished ones, the next to expire first; those that await an answer; finished ones, for each key or account that sent them the newest first. A message that changes during that may come twice. For a caller that is bound to an account they come connection by connection, and with `client_id` the newest first.
   */
  searchMessages(
    query: NonNullable<Api.SearchMessagesData['query']> = {},
    options?: CallOptions,
  ): Promise<Api.SearchMessagesResponse> {
    const parts = { query, ranges: { limit: [1, 1000] } };
    return this.requester.call<Api.SearchMessagesData, Api.SearchMessagesResponse>('GET', '/v1/messages', parts, options);
  }

  /**
   * Send up to 1,000 messages.
   *
   * Each message is accepted or refused individually; the messages of one client are accepted in order. The response is 200 even if messages were refused.
   */
  async sendMessages(
    messages: Api.SendMessagesData['body']['messages'],
    options?: CallOptions,
  ): Promise<Api.SendMessagesResponse['results']> {
    const parts = { body: { messages: messages } };
    return (await this.requester.call<Api.SendMessagesData, Api.SendMessagesResponse>('POST', '/v1/messages', parts, options)).results;
  }

  /**
   * Send a message to a client.
   *
   * Accepted messages are never lost while Redis keeps its data, are sent in the order of their acceptance, and are published at least once: the client drops repeats by `message_id`. While many messages of the caller are being published, the response comes up to 100 ms later. With `Prefer: wait=N` the response is 200 with the whole message as soon as it is final, and 202 if it is not within N seconds. An accepted message is always answered with one of the two, also if the gateway stops or Redis is away.
   */
  sendMessage(
    clientId: string,
    body: Api.SendMessageData['body'],
    { prefer, idempotencyKey, ...options }: CallOptions & { prefer?: string | undefined; idempotencyKey?: string | undefined } = {},
  ): Promise<Api.SendMessageResponse> {
    const parts = { path: { client_id: clientId }, body, headers: { ...(prefer !== undefined && { 'Prefer': prefer }), ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }) }, ranges: { ttl_seconds: [1, 2592000], response_timeout_seconds: [1, 2592000] } };
    return this.requester.call<Api.SendMessageData, Api.SendMessageResponse>('POST', '/v1/connections/{client_id}/messages', parts, options);
  }

  /**
   * The messages of a client, the newest first.
   *
   * All messages that are kept: unfinished ones, and finished ones for `MESSAGE_RETENTION`. With `status`, or with long histories, a page may have fewer items than its limit, and a next page may follow.
   */
  listMessages(
    clientId: string,
    query: NonNullable<Api.ListMessagesData['query']> = {},
    options?: CallOptions,
  ): Promise<Api.ListMessagesResponse> {
    const parts = { path: { client_id: clientId }, query, ranges: { limit: [1, 1000] } };
    return this.requester.call<Api.ListMessagesData, Api.ListMessagesResponse>('GET', '/v1/connections/{client_id}/messages', parts, options);
  }

  /**
   * The status of a message.
   *
   * With its answer and its history. A finished message is kept for `MESSAGE_RETENTION`.
   */
  readMessage(
    messageId: string,
    { prefer, ...options }: CallOptions & { prefer?: string | undefined } = {},
  ): Promise<Api.ReadMessageResponse> {
    const parts = { path: { message_id: messageId }, headers: { ...(prefer !== undefined && { 'Prefer': prefer }) } };
    return this.requester.call<Api.ReadMessageData, Api.ReadMessageResponse>('GET', '/v1/messages/{message_id}', parts, options);
  }

  /**
   * Cancel a message that is queued or held.
   *
   * It is not sent. A message that is being published, or is final, stays as it is: 409.
   */
  cancelMessage(
    messageId: string,
    options?: CallOptions,
  ): Promise<Api.CancelMessageResponse> {
    const parts = { path: { message_id: messageId } };
    return this.requester.call<Api.CancelMessageData, Api.CancelMessageResponse>('DELETE', '/v1/messages/{message_id}', parts, options);
  }

  /**
   * Figures of connections and messages.
   *
   * How many connections and messages there are, what waits and for how long, and rates and latencies of the last hour, at most a second old. What is about messages needs the scope `messages:read` as well. A caller that is bound to an account gets the connections of its account, and the messages that callers of its account have sent.
   */
  getStats(
    options?: CallOptions,
  ): Promise<Api.GetStatsResponse> {
    const parts = {};
    return this.requester.call<Api.GetStatsData, Api.GetStatsResponse>('GET', '/v1/stats', parts, options);
  }

  /**
   * The caller of this request.
   *
   * Its id, its account and what it may do. Every key and every token may ask.
   */
  whoami(
    options?: CallOptions,
  ): Promise<Api.WhoamiResponse> {
    const parts = {};
    return this.requester.call<Api.WhoamiData, Api.WhoamiResponse>('GET', '/v1/whoami', parts, options);
  }
}
