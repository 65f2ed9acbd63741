/** Cloud Connector for applications: one method an operation, and what several operations make together. */
import { follow, type ConnectorEvent, type EventsOptions } from './events.js';
import type * as Api from './generated/types.gen.js';
import { Requester, type CallOptions, type ConnectorOptions, type Method, type Operation } from './requester.js';

export type MessageToSend = Api.MessageBatch['messages'][number];
export type BatchResult = Api.MessageBatchResult['results'][number];
export type ConnectionsQuery = NonNullable<Api.ListConnectionsData['query']>;
export type MessagesQuery = NonNullable<Api.ListMessagesData['query']>;
export type DeadLettersQuery = NonNullable<Api.ListDeadLettersData['query']>;
export type DeadLetter = Api.DeadLetterPage['data'][number];
export type MessageStatus = Api.Message['status'];

/** Most messages or connections of a page. */
const PAGE = 1000;

/** Statuses with which the service has done what it can; `sent` still becomes `failed` where the client reports an error. */
const FINAL: ReadonlySet<MessageStatus> = new Set(['sent', 'failed', 'expired', 'cancelled']);

export function isFinal(status: MessageStatus): boolean {
  return FINAL.has(status);
}

/** Every method throws `ProblemError`, `UnreachableError`, or the reason of the signal it was given. */
export class CloudConnector {
  private readonly requester: Requester;

  constructor(options: ConnectorOptions) {
    this.requester = new Requester(options);
  }

  /** Accepts a message for a client. With an `idempotencyKey`, a repeat within 24 hours sends nothing twice. */
  sendMessage(
    clientId: string,
    message: Api.SendMessage,
    { idempotencyKey, ...options }: CallOptions & { idempotencyKey?: string | undefined } = {},
  ): Promise<Api.AcceptedMessage> {
    const parts = {
      path: { client_id: clientId },
      body: message,
      headers: { ...(idempotencyKey !== undefined && { 'Idempotency-Key': idempotencyKey }) },
    };
    const url = '/v1/connections/{client_id}/messages';
    return this.requester.call<Api.SendMessageData, Api.SendMessageResponse>('POST', url, parts, options);
  }

  /** Accepts up to 1,000 messages; each is answered on its own, in their order. */
  async sendMessages(messages: MessageToSend[], options?: CallOptions): Promise<BatchResult[]> {
    const parts = { body: { messages } };
    type Answer = Api.SendMessagesResponse;
    const url = '/v1/messages';
    return (await this.requester.call<Api.SendMessagesData, Answer>('POST', url, parts, options)).results;
  }

  readMessage(messageId: string, options?: CallOptions): Promise<Api.Message> {
    const parts = { path: { message_id: messageId } };
    const url = '/v1/messages/{message_id}';
    return this.requester.call<Api.ReadMessageData, Api.ReadMessageResponse>('GET', url, parts, options);
  }

  /** Withdraws a message that is `queued` or `held`. */
  cancelMessage(messageId: string, options?: CallOptions): Promise<void> {
    const parts = { path: { message_id: messageId } };
    const url = '/v1/messages/{message_id}';
    return this.requester.call<Api.CancelMessageData, Api.CancelMessageResponse>('DELETE', url, parts, options);
  }

  /** One page of a client's messages, the newest first. */
  listMessages(clientId: string, query: MessagesQuery = {}, options?: CallOptions): Promise<Api.MessagePage> {
    const parts = { path: { client_id: clientId }, query };
    const url = '/v1/connections/{client_id}/messages';
    return this.requester.call<Api.ListMessagesData, Api.ListMessagesResponse>('GET', url, parts, options);
  }

  /** All of a client's messages, page by page. */
  messages(clientId: string, query: MessagesQuery = {}, options?: CallOptions): AsyncGenerator<Api.Message, void> {
    return each({ limit: PAGE, ...query }, (page) => this.listMessages(clientId, page, options));
  }

  /**
   * Resolves with the message when its status is `sent`, `failed`, `expired` or `cancelled`. It follows the client's
   * events, and reads the message when the stream stands and after a gap in it, so that no change is missed.
   */
  async waitForMessage(messageId: string, options: CallOptions = {}): Promise<Api.Message> {
    const { signal } = options;
    let message = await this.readMessage(messageId, options);
    if (isFinal(message.status)) return message;
    const following = follow(this.requester, { types: ['message.status'], clientId: message.client_id, signal });
    for await (const told of following) {
      if (told !== 'opened' && told.type === 'message.status') {
        if (told.message_id !== messageId || !isFinal(told.status)) continue;
      }
      message = await this.readMessage(messageId, options);
      if (isFinal(message.status)) return message;
    }
    signal?.throwIfAborted();
    throw new Error('the events ended by themselves');
  }

  /** One page of connections. */
  listConnections(query: ConnectionsQuery = {}, options?: CallOptions): Promise<Api.ConnectionPage> {
    type Answer = Api.ListConnectionsResponse;
    return this.requester.call<Api.ListConnectionsData, Answer>('GET', '/v1/connections', { query }, options);
  }

  /** All connections that fit, page by page. */
  connections(query: ConnectionsQuery = {}, options?: CallOptions): AsyncGenerator<Api.Connection, void> {
    return each({ limit: PAGE, ...query }, (page) => this.listConnections(page, options));
  }

  summarizeConnections(options?: CallOptions): Promise<Api.ConnectionSummary> {
    type Answer = Api.SummarizeConnectionsResponse;
    const url = '/v1/connections/summary';
    return this.requester.call<Api.SummarizeConnectionsData, Answer>('GET', url, {}, options);
  }

  getConnection(clientId: string, options?: CallOptions): Promise<Api.Connection> {
    const parts = { path: { client_id: clientId } };
    const url = '/v1/connections/{client_id}';
    return this.requester.call<Api.GetConnectionData, Api.GetConnectionResponse>('GET', url, parts, options);
  }

  /**
   * Forces a client off; `reconnectAfter`: a duration such as `PT30S`, a timestamp, or `never`.
   * @returns until when it is refused; undefined from a gateway of version 0.1.0
   */
  forceDisconnect(clientId: string, reconnectAfter: string, options?: CallOptions): Promise<Api.ForcedOff | undefined> {
    const parts = { path: { client_id: clientId }, body: { reconnect_after: reconnectAfter } };
    const url = '/v1/connections/{client_id}/force-disconnect';
    return this.requester.call<Api.ForceDisconnectData, Api.ForcedOff | undefined>('POST', url, parts, options);
  }

  /** Lets a refused client in again. */
  liftRefusal(clientId: string, options?: CallOptions): Promise<void> {
    const parts = { path: { client_id: clientId } };
    const url = '/v1/connections/{client_id}/refusal';
    return this.requester.call<Api.LiftRefusalData, Api.LiftRefusalResponse>('DELETE', url, parts, options);
  }

  /** Compares a connection with what the broker retains, now. */
  verifyConnection(clientId: string, options?: CallOptions): Promise<Api.Verification> {
    const parts = { path: { client_id: clientId } };
    const url = '/v1/connections/{client_id}/verify';
    return this.requester.call<Api.VerifyConnectionData, Api.VerifyConnectionResponse>('POST', url, parts, options);
  }

  /** Forgets an offline connection. */
  forgetConnection(clientId: string, options?: CallOptions): Promise<void> {
    const parts = { path: { client_id: clientId } };
    const url = '/v1/connections/{client_id}';
    return this.requester.call<Api.ForgetConnectionData, Api.ForgetConnectionResponse>('DELETE', url, parts, options);
  }

  /** What happens, as it happens, across lost connections, until the signal ends it. */
  async *events(options: EventsOptions = {}): AsyncGenerator<ConnectorEvent, void, undefined> {
    for await (const told of follow(this.requester, options)) if (told !== 'opened') yield told;
  }

  getCluster(options?: CallOptions): Promise<Api.Cluster> {
    return this.requester.call<Api.GetClusterData, Api.GetClusterResponse>('GET', '/v1/cluster', {}, options);
  }

  /**
   * Has the whole registry compared with the broker; one sweep runs at a time, so it may have to wait for another.
   * @returns the sweep, to be followed with `getSweep`; undefined from a gateway of version 0.1.0
   */
  startSweep(options?: CallOptions): Promise<Api.RequestedSweep | undefined> {
    const url = '/v1/cluster/sweeps';
    return this.requester.call<Api.StartSweepData, Api.RequestedSweep | undefined>('POST', url, {}, options);
  }

  /** How far a sweep has come, and what it has corrected. */
  getSweep(sweepId: string, options?: CallOptions): Promise<Api.RequestedSweep> {
    const parts = { path: { sweep_id: sweepId } };
    const url = '/v1/cluster/sweeps/{sweep_id}';
    return this.requester.call<Api.GetSweepData, Api.GetSweepResponse>('GET', url, parts, options);
  }

  /** How far the last sweep has come, and what it has corrected. */
  getLatestSweep(options?: CallOptions): Promise<Api.Sweep> {
    const url = '/v1/cluster/sweeps/latest';
    return this.requester.call<Api.GetLatestSweepData, Api.GetLatestSweepResponse>('GET', url, {}, options);
  }

  /** One page of what could not be processed. */
  listDeadLetters(query: DeadLettersQuery = {}, options?: CallOptions): Promise<Api.DeadLetterPage> {
    const url = '/v1/cluster/dead-letters';
    type Answer = Api.ListDeadLettersResponse;
    return this.requester.call<Api.ListDeadLettersData, Answer>('GET', url, { query }, options);
  }

  /** All that could not be processed, page by page. */
  deadLetters(query: DeadLettersQuery = {}, options?: CallOptions): AsyncGenerator<DeadLetter, void> {
    return each(query, (page) => this.listDeadLetters(page, options));
  }

  /** An operation that this version of the client does not know. */
  request<Answer>(
    method: Method,
    url: string,
    parts: Omit<Operation, 'url'> = {},
    options?: CallOptions,
  ): Promise<Answer> {
    return this.requester.call<Operation, Answer>(method, url, parts, options);
  }
}

async function* each<Query extends { limit?: number; cursor?: string }, Item>(
  query: Query,
  read: (query: Query) => Promise<{ data: Item[]; next_cursor: string | null }>,
): AsyncGenerator<Item, void> {
  let next: string | null = query.cursor ?? null;
  do {
    const page = await read({ ...query, ...(next !== null && { cursor: next }) });
    yield* page.data;
    next = page.next_cursor;
  } while (next !== null);
}
