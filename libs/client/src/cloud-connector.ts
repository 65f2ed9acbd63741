/** Cloud Connector for applications: the generated methods, one for each operation, and those that use several operations. */
import { call, type CallOfClient, type CallSettings } from './call.js';
import { follow, type ConnectorEvent, type EventsOptions } from './events.js';
import { Operations } from './generated/operations.gen.js';
import type * as Api from './generated/types.gen.js';
import { hasEnded, isFinal } from './message-end.js';
import { Requester, type CallOptions, type ConnectorOptions, type Method, type Operation } from './requester.js';

export type MessageToSend = Api.MessageBatch['messages'][number];
export type BatchResult = Api.MessageBatchResult['results'][number];
export type ConnectionsQuery = NonNullable<Api.ListConnectionsData['query']>;
export type MessagesQuery = NonNullable<Api.ListMessagesData['query']>;
export type MessageSearchQuery = NonNullable<Api.SearchMessagesData['query']>;
export type DeadLettersQuery = NonNullable<Api.ListDeadLettersData['query']>;
export type DeadLetter = Api.DeadLetterPage['data'][number];
export type ClientMessage = Extract<ConnectorEvent, { type: 'client.message' }>;

/** Most messages or connections of a page. */
const PAGE = 1000;

/**
 * Every method throws `ProblemError`, `UnreachableError`, or the reason of its signal; and before anything is sent, `RangeError` for an
 * id, a token or a number that cannot be sent.
 */
export class CloudConnector extends Operations {
  constructor(options: ConnectorOptions) {
    super(new Requester(options));
  }

  /** All messages of a client, page by page. */
  messages(clientId: string, query: MessagesQuery = {}, options?: CallOptions): AsyncGenerator<Api.Message, void> {
    return each({ limit: PAGE, ...query }, (page) => this.listMessages(clientId, page, options));
  }

  /** All messages that the query selects, of all clients, page by page. A message that changes during that may come twice. */
  messagesOfAll(query: MessageSearchQuery = {}, options?: CallOptions): AsyncGenerator<Api.Message, void> {
    return each({ limit: PAGE, ...query }, (page) => this.searchMessages(page, options));
  }

  /** All connections that the query selects, page by page. */
  connections(query: ConnectionsQuery = {}, options?: CallOptions): AsyncGenerator<Api.Connection, void> {
    return each({ limit: PAGE, ...query }, (page) => this.listConnections(page, options));
  }

  /** All dead letters, page by page. */
  deadLetters(query: DeadLettersQuery = {}, options?: CallOptions): AsyncGenerator<DeadLetter, void> {
    return each(query, (page) => this.listDeadLetters(page, options));
  }

  /**
   * Resolves with the message when its status is `answered`, `failed`, `unanswered`, `expired` or `cancelled`, or `sent` if it has
   * no response deadline. It follows the client's events, and reads the message when the stream is open and after each gap in it, so that no change is missed.
   */
  async waitForMessage(messageId: string, options: CallOptions = {}): Promise<Api.Message> {
    const { signal } = options;
    let message = await this.readMessage(messageId, options);
    if (hasEnded(message)) return message;
    const following = follow(this.requester, { types: ['message.status'], clientId: message.client_id, signal });
    for await (const item of following) {
      if (item !== 'opened' && item.type === 'message.status') {
        if (item.message_id !== messageId || !isFinal(item.status)) continue;
      }
      message = await this.readMessage(messageId, options);
      if (hasEnded(message)) return message;
    }
    signal?.throwIfAborted();
    throw new Error('the event stream ended without an error before the message had its last status');
  }

  /**
   * Sends a message, waits for what the client answers, and resolves with the payload of the answer; undefined if it has none.
   * It asks again if the service cannot be reached in between; a client that remembers what it has done does it once.
   * @throws ProblemError if nothing was sent. Once the message was accepted, CallError if the client has not done it, has not answered in
   * time, or the answer cannot be read. UnreachableError if nobody knows: ask again with the same `idempotencyKey`
   */
  call(clientId: string, what: CallOfClient, settings: CallSettings = {}): Promise<unknown> {
    return call(this.requester, clientId, what, settings);
  }

  /** Messages that clients send without being asked, as they come, until the signal ends them. It needs `messages:read`. */
  async *clientMessages(options: Omit<EventsOptions, 'types'> = {}): AsyncGenerator<ClientMessage, void, undefined> {
    for await (const item of follow(this.requester, { ...options, types: ['client.message'] })) {
      if (item !== 'opened' && item.type === 'client.message') yield item;
    }
  }

  /** Events as they happen, across lost connections, until the signal ends them. */
  async *events(options: EventsOptions = {}): AsyncGenerator<ConnectorEvent, void, undefined> {
    for await (const item of follow(this.requester, options)) if (item !== 'opened') yield item;
  }

  /** Calls an operation for which this version of the client has no method. */
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
