export { lacksBroker } from './broker-reach.js';
export type { CallOfClient, CallSettings, Progress } from './call.js';
export {
  CloudConnector,
  type BatchResult,
  type ClientMessage,
  type ConnectionsQuery,
  type DeadLetter,
  type DeadLettersQuery,
  type MessageSearchQuery,
  type MessagesQuery,
  type MessageToSend,
} from './cloud-connector.js';
export { CallError, ProblemError, UnreachableError } from './errors.js';
export { EventPosition, type ConnectorEvent, type EventType, type EventsOptions } from './events.js';
export type * from './generated/schemas.gen.js';
export { hasEnded, isFinal, type MessageStatus } from './message-end.js';
export type { CallOptions, ConnectorOptions, Method } from './requester.js';
