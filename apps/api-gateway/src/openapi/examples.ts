/** The examples of the OpenAPI document. A contract test compares them with their schemas. */
import type { CallerBody } from '../access/caller.dto.js';
import type { ClusterBody } from '../cluster/cluster.dto.js';
import type { DeadLetterPageBody } from '../cluster/dead-letter.dto.js';
import type { RequestedSweepBody, SweepBody } from '../cluster/sweep.dto.js';
import type {
  ConnectionBody,
  ConnectionPageBody,
  ForceDisconnectBody,
  ForcedOffBody,
  VerificationBody,
} from '../connections/connection.dto.js';
import type { EventBody } from '../events/event.dto.js';
import { PROBLEMS, type ProblemKind } from '../http/problem.js';
import type { SummaryBody } from '../http/summary.dto.js';
import type { FoundMessagesBody } from '../messages/message-search.dto.js';
import type {
  AcceptedMessageBody,
  BatchItem,
  BatchResultBody,
  MessageBody,
  MessagePageBody,
  SendMessageBody,
} from '../messages/message.dto.js';
import type { StatsBody } from '../stats/stats.dto.js';

const CLIENT = 'device-0001';
const MESSAGE = '019362c8-4b1e-7cc3-9d2a-6f1f3e5a7b90';
const HANDSHAKE = 'a5f8d8c2-0f5c-4a55-8a35-1f0d1b7a3c11';
const SWEEP = '0b7a4f0e-54f5-4b9e-9d0c-3a1a2d5e6c71';
const INGESTER = 'status-ingester-0/6f2b';
const SHARD = 11;

/** A time of the day of the examples. */
function at(time: string): string {
  return `2026-11-30T${time}Z`;
}

const accepted = {
  message_id: MESSAGE,
  client_id: CLIENT,
  directive: 'demo:work',
  status: 'queued',
  created_at: at('06:00:00.000'),
  expires_at: at('07:00:00.000'),
} as const satisfies AcceptedMessageBody;

const message = {
  ...accepted,
  status: 'answered',
  response_deadline: at('06:01:00.012'),
  progress: { percent: 50, details: 'step 1 of 2', at: at('06:00:10.250') },
  answer: { payload: { steps: 2 }, message_id: '5d1c', received_at: at('06:00:20.500'), late: false },
  status_history: [
    { status: 'queued', at: at('06:00:00.000'), details: null },
    { status: 'in_flight', at: at('06:00:00.004'), details: null },
    { status: 'sent', at: at('06:00:00.012'), details: null },
    { status: 'answered', at: at('06:00:20.500'), details: null },
  ],
} as const;

const connection: ConnectionBody = {
  client_id: CLIENT,
  type: 'host',
  state: 'online',
  facts: { fqdn: 'device-0001.example.com', ip_addresses: ['192.0.2.17'] },
  handshake_message_id: HANDSHAKE,
  connected_at: at('05:58:01.120'),
  disconnected_at: null,
  offline_reason: null,
  last_message_at: at('06:00:20.500'),
  account: 'acme',
  shard: SHARD,
  held_messages: 0,
  refused_until: null,
};

const summary: SummaryBody = {
  online: { host: 900, proxy: 20, total: 920 },
  offline: { host: 75, proxy: 5, total: 80 },
  total: 1000,
};

const corrections = { online: 1, updated: 0, offline: 2, reason: 0, none: 4 };

const sweep: SweepBody = {
  ...{ sweep_id: SWEEP, trigger: 'interval', state: 'ended', member: INGESTER },
  started_at: at('06:00:00.000'),
  ended_at: at('06:00:01.250'),
  ...{ complete: true, incomplete_reason: null, read: 1000, read_per_second: 800, differing: 3, unseen: 4 },
  corrections,
};

function perMinute(count: number): number[] {
  return Array.from({ length: 60 }, () => count);
}

const stats: StatsBody = {
  at: at('06:59:30.000'),
  connections: summary,
  messages: {
    ...{
      unfinished: 3,
      awaiting_answer: 1,
      in_flight: null,
      unfinished_bytes: 2048,
      finished: 120,
      finished_bytes: 40_960,
    },
  },
  waiting: { connections_ready: 0, oldest_ready_ms: 0, connections_in_flight: 0, connections_held: 2 },
  last_hour: {
    from: at('06:00:00.000'),
    online: perMinute(920),
    offline: perMinute(80),
    messages: {
      ...{
        queued: perMinute(2),
        held: perMinute(0),
        in_flight: perMinute(2),
        sent: perMinute(2),
        answered: perMinute(2),
      },
      ...{ failed: perMinute(0), unanswered: perMinute(0), expired: perMinute(0), cancelled: perMinute(0) },
    },
    latency: {
      ...{ p50_ms: 5, p99_ms: 20, sent: 120 },
      minutes: Array.from({ length: 60 }, () => ({ p50_ms: 5, p99_ms: 20 })),
    },
  },
};

const cluster: ClusterBody = {
  members: [
    {
      ...{ id: INGESTER, name: 'status-ingester-0', since: at('05:00:00.000'), draining: false, fitness: 'fit' },
      ...{ reason: null, shards: 32, lanes: 4 },
    },
  ],
  dispatchers: [
    {
      ...{ id: 'dispatcher-0/91c4', name: 'dispatcher-0', since: at('05:00:00.000') },
      ...{ takes_shards: true, reason: null, shards: 1 },
    },
  ],
  gateways: [{ id: 'api-gateway-0/3e07', name: 'api-gateway-0', since: at('05:00:00.000') }],
  shards: [
    {
      ...{ shard: 0, owner: INGESTER, epoch: 3, dispatcher: 'dispatcher-0/91c4' },
      ...{ mailbox_depth: 0, mailbox_lag_ms: 0 },
    },
  ],
  lanes: [{ lane: 0, owner: INGESTER, epoch: 3 }],
  redis: [{ used_bytes: 12_582_912, limit_bytes: 1_073_741_824, full: false }],
  dead_letters: 2,
  broker: {
    ...{ checked_at: at('05:00:02.000'), session_expiry_seconds: 1_209_600, receive_maximum: 1000 },
    ...{ maximum_packet_size: null, maximum_qos: 2, retain_available: true, shared_subscriptions: true },
    ...{ wildcard_subscriptions: true, server_keep_alive_seconds: null, no_subscriber_signal: true },
    ...{ absence_provable: true, queue_limit: null, queue_measured_at: at('05:01:00.000') },
  },
};

/** By the name of the schema. */
export const BODIES = {
  AcceptedMessage: accepted,
  Caller: { id: 'key:billing', account: null, scopes: ['connections:read', 'messages:read', 'messages:write'] },
  Cluster: cluster,
  Connection: connection,
  ConnectionPage: { data: [connection], next_cursor: 'WzExLCJkZXZpY2UtMDAwMSJd' },
  ConnectionSummary: summary,
  DeadLetterPage: {
    data: [
      {
        ...{ at: at('06:00:00.000'), shard: SHARD, client_id: CLIENT },
        ...{ topic: 'redhat/insights/{clientId}/control/out', reason: 'wrong-shape' },
        ...{ details: 'message_id is missing', sample: '{"type":"connection-status"}' },
      },
    ],
    next_cursor: null,
  },
  ForceDisconnect: { reconnect_after: 'PT30S' },
  ForcedOff: { client_id: CLIENT, refused_until: at('06:00:30.000') },
  FoundMessages: { data: [message], next_cursor: null, looked_at: 40 },
  Message: message,
  MessageBatch: {
    messages: [
      {
        client_id: CLIENT,
        directive: 'demo:work',
        payload: { steps: 2 },
        idempotency_key: 'job-17-device-0001',
      },
      { client_id: 'device-0002', directive: 'demo:work', payload: { steps: 2 }, when_offline: 'reject' },
    ],
  },
  MessageBatchResult: {
    results: [
      { status: 202, message: accepted },
      {
        status: 404,
        problem: {
          type: 'urn:cloud-connector:problem:unknown-connection',
          ...{ title: PROBLEMS['unknown-connection'].title, status: 404 },
          detail: 'no client with the id "device-0002" is known: it has never shaken hands, or it was forgotten',
        },
      },
    ],
  },
  MessagePage: { data: [message], next_cursor: null },
  RequestedSweep: { sweep_id: SWEEP, state: 'ended', sweep },
  SendMessage: { directive: 'demo:work', payload: { steps: 2 }, ttl_seconds: 3600, response_timeout_seconds: 60 },
  Stats: stats,
  Sweep: sweep,
  Verification: { client_id: CLIENT, state: 'online', offline_reason: null, changed: false, outcome: 'agreed' },
} satisfies {
  AcceptedMessage: AcceptedMessageBody;
  Caller: CallerBody;
  Cluster: ClusterBody;
  Connection: ConnectionBody;
  ConnectionPage: ConnectionPageBody;
  ConnectionSummary: SummaryBody;
  DeadLetterPage: DeadLetterPageBody;
  ForceDisconnect: ForceDisconnectBody;
  ForcedOff: ForcedOffBody;
  FoundMessages: Shown<FoundMessagesBody>;
  Message: Shown<MessageBody>;
  MessageBatch: { messages: Partial<BatchItem>[] };
  MessageBatchResult: BatchResultBody;
  MessagePage: Shown<MessagePageBody>;
  RequestedSweep: RequestedSweepBody;
  SendMessage: Partial<SendMessageBody>;
  Stats: StatsBody;
  Sweep: SweepBody;
  Verification: VerificationBody;
};

/** Examples are not changed. */
type Shown<T> = { readonly [Name in keyof T]: Shown<T[Name]> };

const event = { event_id: '11-1795000000000-3', at: at('06:00:00.000'), shard: SHARD };
const about = { ...event, client_id: CLIENT };
const handshake = { ...about, connection_type: 'host', handshake_message_id: HANDSHAKE } as const;
const member = { ...event, shard: 0, member: 'dispatcher-1/77ab', role: 'dispatcher' } as const;

/** One event of each type. */
export const EVENTS: readonly EventBody[] = [
  { type: 'connection.online', ...handshake },
  { type: 'connection.updated', ...handshake },
  { type: 'connection.offline', ...about, changed_at: at('05:59:58.000'), flaps: 1, reason: 'retained-offline' },
  { type: 'connection.refused', ...about, reason: 'the client was disconnected until 06:00:30', message_id: HANDSHAKE },
  { type: 'message.status', ...about, message_id: MESSAGE, status: 'answered', answer_size: 14 },
  { type: 'message.unmatched_error', ...about, in_response_to: '42', details: 'no such directive' },
  { type: 'message.unmatched_response', ...about, in_response_to: '42', message_id: '5d1c', reason: 'unknown' },
  { type: 'message.progress', ...about, message_id: MESSAGE, percent: 50, details: 'step 1 of 2' },
  { type: 'client.message', ...about, message_id: '7', directive: 'report', payload: { disk: 'full' } },
  { type: 'shard.moved', ...event, epoch: 4, member: INGESTER },
  { type: 'sweep.started', ...event, shard: 0, sweep: SWEEP, trigger: 'interval' },
  {
    ...{ type: 'sweep.ended', ...event, shard: 0, sweep: SWEEP, trigger: 'interval' },
    ...{ complete: true, read: 1000, corrections },
  },
  { type: 'member.joined', ...member },
  { type: 'member.left', ...member, reason: 'stopped' },
  {
    ...{ type: 'dead_letter.added', ...about, topic: 'redhat/insights/{clientId}/control/out' },
    ...{ reason: 'wrong-shape', details: 'message_id is missing' },
  },
  {
    ...{ type: 'gap', at: at('06:00:00.000'), shard: SHARD, streams: ['state'] },
    ...{ from: at('05:00:00.000'), until: at('05:30:00.000'), details: 'these events are no longer kept' },
  },
  { type: 'closed', at: at('06:00:00.000'), reason: 'shutting-down', details: 'the gateway stops' },
];

/** What a problem of a kind may say about one request. */
const DETAILS: Readonly<Record<ProblemKind, string>> = {
  'malformed-json': 'the body is not JSON',
  'bad-request': 'the address cannot be decoded',
  unauthenticated: 'the key is not known',
  forbidden: 'this needs the scope messages:write',
  'not-found': 'this is not served here',
  'unknown-connection': 'no client with the id "device-0001" is known: it has never shaken hands, or it was forgotten',
  'unknown-message': `there is no message "${MESSAGE}", or it is no longer kept`,
  'method-not-allowed': 'this path has GET and DELETE',
  'request-timeout': 'the request did not arrive within 10 seconds',
  'client-offline': 'the client is offline, and the message asks not to be held',
  conflict: 'the message is sent and can no longer be cancelled',
  'too-large': 'the payload is larger than 262144 bytes',
  'uri-too-long': 'an id in the path is longer than any that exists',
  'unsupported-media-type': 'send the body as application/json',
  'expectation-failed': 'only the expectation 100-continue is met',
  invalid: '/directive: must not be blank',
  'idempotency-mismatch':
    'the first request with this Idempotency-Key was another one. To repeat it, send the same directive, payload, when_offline, ' +
    'ttl_seconds and response_timeout_seconds; a new key is for other work: with one, the same work may be done twice',
  'outbox-full': 'the outbox of the client is full; send again later',
  'shard-full': 'too many messages wait; send again later',
  'account-full': 'too many messages of this key wait; send again later',
  'rate-limited': 'send at most 100 requests a second',
  'headers-too-large': 'the headers are too large',
  internal: 'the request could not be processed; the log has the details under this request_id',
  unavailable: 'Redis cannot be reached, or does not answer in time; ask again',
  'storage-full': 'nothing was stored; new messages are taken again when Redis has room',
};

/** By the kind of the problem. */
export const PROBLEM_EXAMPLES = Object.fromEntries(
  (Object.keys(PROBLEMS) as ProblemKind[]).map((kind) => [
    kind,
    {
      summary: PROBLEMS[kind].title,
      value: {
        type: `urn:cloud-connector:problem:${kind}`,
        ...PROBLEMS[kind],
        detail: DETAILS[kind],
        instance: `/v1/connections/${CLIENT}/messages`,
        request_id: '6e84b0f2-6c4e-4b0f-8f9e-5d7a6c1b2a30',
        ...(kind === 'invalid' && { errors: [{ pointer: '/directive', detail: 'must not be blank' }] }),
      },
    },
  ]),
);
