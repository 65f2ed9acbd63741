/** Values of the API that options take. A contract test compares them with the OpenAPI document. */

export const CONNECTION_STATES = ['online', 'offline'] as const;
export const CONNECTION_TYPES = ['host', 'proxy'] as const;
export const WHEN_OFFLINE = ['hold', 'reject'] as const;

/** The longest `ttl_seconds` and `response_timeout_seconds`. */
export const LONGEST_TTL_S = 2_592_000;
export const LONGEST_RESPONSE_TIMEOUT_S = 2_592_000;

export const FACTS = [
  ...(['insights_id', 'machine_id', 'bios_uuid', 'subscription_manager_id'] as const),
  ...(['fqdn', 'ip_address', 'mac_address'] as const),
] as const;

export const OFFLINE_REASONS = [
  ...(['goodbye', 'retained-offline', 'handshake-removed', 'invalid-handshake'] as const),
  ...(['refused', 'unknown', 'unconfirmed'] as const),
] as const;

export const MESSAGE_STATUSES = [
  ...(['queued', 'held', 'in_flight', 'sent', 'answered'] as const),
  ...(['failed', 'unanswered', 'expired', 'cancelled'] as const),
] as const;

/** Of events; `gap` always comes. */
export const EVENT_TYPES = [
  ...(['connection.online', 'connection.updated', 'connection.offline', 'connection.refused'] as const),
  ...(['message.status', 'message.progress', 'message.unmatched_error', 'message.unmatched_response'] as const),
  ...(['client.message', 'shard.moved', 'sweep.started', 'sweep.ended'] as const),
  ...(['member.joined', 'member.left', 'dead_letter.added'] as const),
] as const;

/** What an API key may do. */
export const SCOPES = [
  ...(['connections:read', 'connections:manage', 'messages:read', 'messages:write'] as const),
  ...(['events:read', 'cluster:read', 'cluster:manage'] as const),
] as const;
