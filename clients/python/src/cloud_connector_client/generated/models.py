# Written by `npm run generate` from the OpenAPI document: do not edit.

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import AwareDatetime, ConfigDict, Field

from cloud_connector_client._model import EventModel, Model, OpenEnum


class AcceptedMessage(Model):
    """A message as it was accepted."""

    message_id: str
    """Id of the message."""

    client_id: str
    """Id of the client."""

    directive: str
    """Tells the client what to do with the payload."""

    status: MessageStatus
    """`held`: the client is offline, or the broker reported that it is not subscribed. `sent`: the broker took the message and did not report that nobody is subscribed; this does not mean that the client acted. A broker that never reports it (`no_subscriber_signal` of the cluster is false) makes a message `sent` that an online client does not receive."""

    created_at: AwareDatetime
    """When it was accepted."""

    expires_at: AwareDatetime
    """When it expires, unless it is sent before."""


AnsweredItem: TypeAlias = int


class BatchMessage(Model):
    """One message of a batch."""

    model_config = ConfigDict(
        extra="forbid",
    )

    client_id: str
    """Id of the client: 1 to 256 bytes of UTF-8, without `/`, `+`, `#` and control characters; not `.`, `..` or `summary`."""

    directive: str
    """Tells the client what to do with the payload; not blank."""

    payload: Any | None = None
    """Any JSON value."""

    ttl_seconds: int | None = None
    """Time to live: an unsent message expires after it. 3600 if it is absent."""

    when_offline: WhenOffline | None = None
    """Keep the message until the client is back, or answer 409. `hold` if it is absent."""

    response_timeout_seconds: int | None = None
    """For how long a `sent` message awaits the answer of its client; after that it is `unanswered`. Without it, the message may stay `sent`, and an answer that comes while it is kept still makes it `answered` or `failed`."""

    idempotency_key: str | None = None
    """As the header `Idempotency-Key` of a single message."""


class BatchProblem(Model):
    """Why a message of a batch was refused."""

    type: str
    """The kind of problem: it stays the same when the texts change."""

    title: str
    """The kind of problem, for people."""

    status: int
    """The HTTP status."""

    detail: str
    """What went wrong with this request, for people."""

    errors: list[FieldError] | None = None
    """Each member and parameter that is wrong."""

    retry_after: int | None = None
    """Seconds to wait before the item is sent again."""


class BatchResultItem(Model):
    """What became of one message of a batch."""

    status: int
    """As the HTTP status of a single message: 202, 404, 409, 413, 422, 429, 503."""

    message: AcceptedMessage | None = None
    """With 202."""

    replayed: bool | None = None
    """`true` if this is the first answer to the same idempotency_key."""

    problem: BatchProblem | None = None
    """With any other status."""


class Caller(Model):
    """Whose credentials a request has."""

    id: str
    """`key:` and the id of the API key, `token:` and the subject of the token, or `anybody` if the gateway requires no credentials."""

    account: str | None
    """The account that the caller is bound to; null: it reaches every account."""

    scopes: list[Scope]
    """What the caller may do: its scopes, and those that they contain. A caller of an account cannot use the cluster."""


CancelledItem: TypeAlias = int


class ClientMessageEvent(EventModel):
    """A client said something of its own accord."""

    type: Literal["client.message"] = "client.message"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    message_id: str
    """The id that the client has given its message."""

    directive: str
    """What the message is about."""

    payload: Any | None = None
    """Any JSON value; absent if the client sent none."""

    in_response_to: str | None = None
    """The message that it is about, if the client names one."""


class ClosedEvent(EventModel):
    """The last event of a stream that the gateway ends."""

    type: Literal["closed"] = "closed"
    """The type of the event."""

    at: AwareDatetime
    """When the event was emitted."""

    reason: ClosedReason

    details: str
    """Why, for people."""


class ClosedReason(OpenEnum):
    """Why a stream ends. `too-slow`: nothing was read from it for 60 seconds. `credentials`: they have expired or were revoked. `shutting-down`: the gateway stops."""

    TOO_SLOW = "too-slow"
    CREDENTIALS = "credentials"
    SHUTTING_DOWN = "shutting-down"


class Cluster(Model):
    """The processes of the service, and who owns what."""

    members: list[ClusterMember]
    """The ingesters."""

    dispatchers: list[ClusterDispatcher]
    """The dispatchers."""

    gateways: list[ClusterGateway]
    """The gateways."""

    shards: list[ClusterShard]
    """All shards."""

    lanes: list[ClusterLane]
    """All lanes."""

    redis: list[ClusterRedis]
    """Each master of Redis."""

    dead_letters: int
    """How many dead letters are kept."""

    broker: ClusterBroker | None
    """What ingesters found out about the broker. null before the first check."""


class ClusterBroker(Model):
    """What ingesters found out about the broker."""

    checked_at: AwareDatetime
    """When an ingester last checked the broker."""

    session_expiry_seconds: int | None
    """How long the broker keeps the session of a lane that is not connected. What clients publish while no ingester runs for longer is lost. null: it names no limit."""

    receive_maximum: int
    """How many publishes may wait for their acknowledgement on one connection."""

    maximum_packet_size: int | None
    """Largest packet in bytes that the broker accepts. null: no limit."""

    maximum_qos: int
    """Highest QoS that the broker grants."""

    retain_available: bool
    """Whether the broker retains messages."""

    shared_subscriptions: bool
    """Whether the broker grants shared subscriptions."""

    wildcard_subscriptions: bool
    """Whether the broker grants subscriptions with wildcards."""

    server_keep_alive_seconds: int | None
    """The keep-alive that the broker asks for. null: that of the service."""

    no_subscriber_signal: bool | None
    """Whether the broker reports that nobody is subscribed to the topic of a message (0x10). If false, a message to a client that does not listen is `sent`, never `held`, and does not arrive later. null: not known."""

    absence_provable: bool | None
    """Whether a read of the broker proves that a client has no retained message. null: not known."""

    queue_limit: int | None
    """How many messages the broker keeps for a session that is not connected, measured with 2,000 messages. It acknowledges and loses what clients publish beyond that while a lane is away. null: not measured, or no limit was found."""

    queue_measured_at: AwareDatetime | None
    """When `queue_limit` was measured. null: never."""


class ClusterDispatcher(Model):
    """A dispatcher."""

    id: str
    """Name and boot id: a restarted process is a new dispatcher."""

    name: str
    """Name of the dispatcher; its host, by default."""

    since: AwareDatetime | None
    """null: it is of an older release, which does not say it."""

    takes_shards: bool
    """Whether it works: it is connected to the broker and does not stop."""

    reason: MemberReason | None
    """Why it takes no shards. null: it takes them, or is of an older release, which does not say it."""

    shards: int
    """Number of shards whose messages it sends now. A shard at rest needs no dispatcher."""


class ClusterGateway(Model):
    """A gateway."""

    id: str
    """Name and boot id: a restarted process is a new gateway."""

    name: str
    """Name of the gateway; its host, by default."""

    since: AwareDatetime
    """When it became a member."""


class ClusterLane(Model):
    """A session of the service at the broker, with one owner."""

    lane: int
    """Number of the lane."""

    owner: str | None
    """The member that owns it; null if no member does."""

    epoch: int | None
    """Rises with each change of the owner."""


class ClusterMember(Model):
    """An ingester."""

    id: str
    """Name and boot id: a restarted process is a new member."""

    name: str
    """Name of the ingester; its host, by default."""

    since: AwareDatetime
    """When it became a member."""

    draining: bool
    """It is stopping and releases its shards and lanes."""

    fitness: MemberFitness

    reason: MemberReason | None
    """Why it is not `fit`. null: it is `fit`, or of an older release, which does not say it."""

    shards: int
    """Number of shards that it reports to own."""

    lanes: int
    """Number of lanes that it reports to own."""


class ClusterRedis(Model):
    """The memory of a master of Redis."""

    used_bytes: int
    """What Redis compares with its `maxmemory`."""

    limit_bytes: int | None
    """Its `maxmemory`; null: it has none."""

    full: bool
    """It is above `MEMORY_HIGH_WATER`, so new messages get 503 `storage-full`."""


class ClusterShard(Model):
    """A part of the connections, with one owner."""

    shard: int
    """Number of the shard."""

    owner: str | None
    """The member that owns it; null if no member does."""

    epoch: int | None
    """Rises with each change of the owner."""

    dispatcher: str | None
    """The dispatcher that sends its messages; null if there is nothing to send, or no dispatcher."""

    mailbox_depth: int
    """Entries that wait for the owner."""

    mailbox_lag_ms: int
    """How long the oldest entry has been waiting, in milliseconds."""


class Connection(Model):
    """What is known about a client."""

    client_id: str
    """Id of the client."""

    type: ConnectionType

    state: ConnectionState

    facts: dict[str, Any]
    """As in the last accepted handshake."""

    handshake_message_id: str
    """Id of the last accepted handshake."""

    connected_at: AwareDatetime
    """When it last came online."""

    disconnected_at: AwareDatetime | None
    """When it went offline; null while it is online."""

    offline_reason: OfflineReason | None
    """Why it is offline; null while it is online."""

    last_message_at: AwareDatetime | None
    """When the client last said something."""

    account: str | None
    """The account that it belongs to; null if that is not known."""

    shard: int
    """Number of the shard."""

    held_messages: int
    """Messages that wait until the client is online and has subscribed."""

    refused_until: str | None
    """End of the refusal window of a force-disconnect: a timestamp, `never`, or null."""


class ConnectionCounts(Model):
    """Numbers of connections, by type."""

    host: int
    """How many are hosts."""

    proxy: int
    """How many are proxies."""

    total: int
    """How many there are."""


class ConnectionOfflineEvent(EventModel):
    """A client went offline."""

    type: Literal["connection.offline"] = "connection.offline"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    changed_at: AwareDatetime | None = None
    """When it happened, if that was earlier than `at`."""

    flaps: int | None = None
    """Number of earlier changes of state without an event of their own."""

    reason: OfflineReason


class ConnectionOnlineEvent(EventModel):
    """A client came online."""

    type: Literal["connection.online"] = "connection.online"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    changed_at: AwareDatetime | None = None
    """When it happened, if that was earlier than `at`."""

    flaps: int | None = None
    """Number of earlier changes of state without an event of their own."""

    connection_type: ConnectionType

    handshake_message_id: str
    """Id of the handshake."""


class ConnectionPage(Model):
    """A page of connections."""

    data: list[Connection]
    """The connections."""

    next_cursor: str | None
    """The `cursor` of the next page; null after the last page."""


class ConnectionRefusedEvent(EventModel):
    """A handshake was refused."""

    type: Literal["connection.refused"] = "connection.refused"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    reason: str
    """Why, for people."""

    message_id: str | None
    """Id of the handshake; null if it has none that is readable."""


class ConnectionState(OpenEnum):
    """Whether the client is connected."""

    ONLINE = "online"
    OFFLINE = "offline"


class ConnectionSummary(Model):
    """Numbers of connections, by state and type."""

    online: ConnectionCounts
    """Those that are online."""

    offline: ConnectionCounts
    """Those that are offline."""

    total: int
    """All connections."""


class ConnectionType(OpenEnum):
    """What the client is: a `host`, or a `proxy` that stands for others."""

    HOST = "host"
    PROXY = "proxy"


class ConnectionUpdatedEvent(EventModel):
    """A client that is online sent another handshake."""

    type: Literal["connection.updated"] = "connection.updated"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    changed_at: AwareDatetime | None = None
    """When it happened, if that was earlier than `at`."""

    flaps: int | None = None
    """Number of earlier changes of state without an event of their own."""

    connection_type: ConnectionType

    handshake_message_id: str
    """Id of the handshake."""


class DeadLetter(Model):
    """A message of a client that could not be processed."""

    at: AwareDatetime
    """When it was stored."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    topic: str
    """Template of its topic; empty if it was not received on a topic."""

    reason: DeadLetterReason
    """Why it could not be processed."""

    details: str
    """Why it could not be processed, for people."""

    sample: str
    """The first 1,024 characters of the message."""


class DeadLetterAddedEvent(EventModel):
    """A message of a client could not be processed."""

    type: Literal["dead_letter.added"] = "dead_letter.added"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    topic: str
    """Template of its topic; empty if it was not received on a topic."""

    reason: DeadLetterReason
    """Why it could not be processed."""

    details: str
    """Why, for people."""


class DeadLetterPage(Model):
    """A page of dead letters."""

    data: list[DeadLetter]
    """The dead letters."""

    next_cursor: str | None
    """The `cursor` of the next page; null after the last page."""


class DeadLetterReason(OpenEnum):
    """Why a message of a client could not be processed. `empty`, `not-utf8`, `not-json`, `wrong-shape`, `unknown-type`, `unsupported-version`: its text is no message of the protocol. `too-large`, `too-deep`: it exceeds a limit. `not-retained`, `wrong-topic`: it was published in another way than its type asks for. `refused-until`: its handshake came during a refusal. `reserved-id`: its client id cannot be used. `not-connected`: it sent no handshake before. `account-unknown`: the account of the client is not known. `flood`: the client sent more than its share. `internal-error`: the service failed."""

    EMPTY = "empty"
    TOO_LARGE = "too-large"
    NOT_UTF8 = "not-utf8"
    NOT_JSON = "not-json"
    TOO_DEEP = "too-deep"
    WRONG_SHAPE = "wrong-shape"
    UNKNOWN_TYPE = "unknown-type"
    UNSUPPORTED_VERSION = "unsupported-version"
    NOT_RETAINED = "not-retained"
    WRONG_TOPIC = "wrong-topic"
    REFUSED_UNTIL = "refused-until"
    RESERVED_ID = "reserved-id"
    NOT_CONNECTED = "not-connected"
    ACCOUNT_UNKNOWN = "account-unknown"
    FLOOD = "flood"
    INTERNAL_ERROR = "internal-error"


EventCursor: TypeAlias = str


class EventFilter(OpenEnum):
    """A type of event; with `*`, all types of a kind."""

    CONNECTION_ONLINE = "connection.online"
    CONNECTION_UPDATED = "connection.updated"
    CONNECTION_OFFLINE = "connection.offline"
    CONNECTION_REFUSED = "connection.refused"
    MESSAGE_STATUS = "message.status"
    MESSAGE_UNMATCHED_ERROR = "message.unmatched_error"
    MESSAGE_UNMATCHED_RESPONSE = "message.unmatched_response"
    MESSAGE_PROGRESS = "message.progress"
    CLIENT_MESSAGE = "client.message"
    SHARD_MOVED = "shard.moved"
    SWEEP_STARTED = "sweep.started"
    SWEEP_ENDED = "sweep.ended"
    MEMBER_JOINED = "member.joined"
    MEMBER_LEFT = "member.left"
    DEAD_LETTER_ADDED = "dead_letter.added"
    CONNECTION__ = "connection.*"
    MESSAGE__ = "message.*"
    CLIENT__ = "client.*"
    SHARD__ = "shard.*"
    SWEEP__ = "sweep.*"
    MEMBER__ = "member.*"
    DEAD_LETTER__ = "dead_letter.*"


class EventStreamName(OpenEnum):
    """Events that are kept together. `state`: changes of connections, messages and the cluster. `talk`: what clients say and how far they have come. `refusals`: refused handshakes, and what matches no message. `dead-letters`: dead letters."""

    STATE = "state"
    TALK = "talk"
    REFUSALS = "refusals"
    DEAD_LETTERS = "dead-letters"


ExpiredItem: TypeAlias = int


FailedItem: TypeAlias = int


class FieldError(Model):
    """What is wrong with one member of the body, or with one parameter."""

    pointer: str | None = None
    """JSON pointer to a member of the body."""

    in_: ParameterPlace | None = Field(None, alias="in")
    """Where the parameter stands."""

    name: str | None = None
    """Name of the parameter."""

    detail: str
    """What is wrong with it."""


class ForceDisconnect(Model):
    """How a client is disconnected."""

    model_config = ConfigDict(
        extra="forbid",
    )

    reconnect_after: ReconnectAfter
    """For how long its handshakes are refused."""


class ForcedOff(Model):
    """A client that is being disconnected."""

    client_id: str
    """Id of the client."""

    refused_until: str | None
    """When its handshakes are accepted again: a timestamp, `never`, or null if they already are."""


class FoundMessages(Model):
    """A page of messages to any clients."""

    data: list[Message]
    """The messages."""

    next_cursor: str | None
    """The `cursor` of the next page; null after the last page."""

    looked_at: int | None
    """How many messages, and lists of them, this page has looked at. null for a caller that is bound to an account."""


class GapEvent(EventModel):
    """Events of a shard may be missing."""

    type: Literal["gap"] = "gap"
    """The type of the event."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    streams: list[EventStreamName]
    """Which events may be missing."""

    from_: AwareDatetime = Field(alias="from")
    """Events from this time on may be missing."""

    until: AwareDatetime
    """Events until this time may be missing."""

    details: str
    """Why, for people."""


HeldItem: TypeAlias = int


class HourLatency(Model):
    """How long messages took from their acceptance to the broker."""

    p50_ms: float | None
    """Half of the messages took at most that from their acceptance to the broker. null: no message was sent, or it took more than a minute."""

    p99_ms: float | None
    """99 of 100 messages took at most that. null: no message was sent, or it took more than a minute."""

    sent: int
    """The number of messages that these times are about."""

    minutes: list[MinuteLatency]
    """The same, by minute."""


InFlightItem: TypeAlias = int


class IncompleteReason(OpenEnum):
    """Why a sweep may not have read everything. `cut-short`: the broker stopped sending in the middle, or sent nothing. `more-each-time`: each further pass brought messages that the one before had missed. `left-out`: no pass brought the messages of clients for which a read of their own topic found one."""

    CUT_SHORT = "cut-short"
    MORE_EACH_TIME = "more-each-time"
    LEFT_OUT = "left-out"


class LastHour(Model):
    """Rates and latencies of the last hour."""

    from_: AwareDatetime = Field(alias="from")
    """The beginning of the first of 60 minutes; the last one is not over yet."""

    online: list[OnlineItem | None]
    """Connections that were online, by minute, the last one now; null if nobody counted."""

    offline: list[OfflineItem | None]
    """Connections that were offline, by minute, the last one now; null if nobody counted."""

    messages: MessageCounts

    latency: HourLatency


class MemberFitness(OpenEnum):
    """Whether an ingester can work: `troubled` if it cannot reach the broker, or could not a moment ago; `unfit` if that lasts and another member is fit, which then takes over its shards and lanes."""

    FIT = "fit"
    TROUBLED = "troubled"
    UNFIT = "unfit"


class MemberJoinedEvent(EventModel):
    """A process became a member of the cluster."""

    type: Literal["member.joined"] = "member.joined"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    member: str
    """Id of the member."""

    role: MemberRole


class MemberLeftEvent(EventModel):
    """A process is no member of the cluster any more."""

    type: Literal["member.left"] = "member.left"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    member: str
    """Id of the member."""

    role: MemberRole

    reason: MemberLeftReason


class MemberLeftReason(OpenEnum):
    """`stopped`: it said so. `overdue`: its heartbeats did not come any more."""

    STOPPED = "stopped"
    OVERDUE = "overdue"


class MemberReason(OpenEnum):
    """Why a process of the service does not work, as it reports itself. `broker-unreachable`: it is not connected to the broker. `redis-unreachable`: a part of Redis does not answer it. `recovering`: the failure is over, but has been for less than a `LEASE_TIME`. `stopping`: it is being stopped."""

    BROKER_UNREACHABLE = "broker-unreachable"
    REDIS_UNREACHABLE = "redis-unreachable"
    RECOVERING = "recovering"
    STOPPING = "stopping"


class MemberRole(OpenEnum):
    """Which app a member of the cluster runs."""

    GATEWAY = "gateway"
    INGESTER = "ingester"
    DISPATCHER = "dispatcher"


class Message(Model):
    """A message to a client, and what became of it."""

    message_id: str
    """Id of the message."""

    client_id: str
    """Id of the client."""

    directive: str
    """Tells the client what to do with the payload."""

    status: MessageStatus
    """`held`: the client is offline, or the broker reported that it is not subscribed. `sent`: the broker took the message and did not report that nobody is subscribed; this does not mean that the client acted. A broker that never reports it (`no_subscriber_signal` of the cluster is false) makes a message `sent` that an online client does not receive."""

    created_at: AwareDatetime
    """When it was accepted."""

    expires_at: AwareDatetime
    """When it expires, unless it is sent before."""

    response_deadline: AwareDatetime | None
    """When a `sent` message becomes `unanswered`; null if it never does, or was not sent yet."""

    progress: MessageProgress | None
    """What the client has reported last, before its answer."""

    answer: MessageAnswer | None
    """What the client has answered; also if it is late."""

    status_history: list[StatusChange]
    """What became of it, the earliest first."""


class MessageAnswer(Model):
    """What the client has answered."""

    payload: Any
    """Any JSON value, as the client wrote it; null if the answer has none, or if it is omitted."""

    message_id: str
    """The id that the client has given its answer."""

    received_at: AwareDatetime
    """When the answer came."""

    late: bool
    """It came after the message was `unanswered`, `expired` or `cancelled`, or `failed` without a known outcome of its publish, and did not change that."""

    omitted: OmittedReason | None = None

    size: int | None = None
    """With `omitted`: the bytes of the payload."""


class MessageBatch(Model):
    """Messages that are sent with one request."""

    model_config = ConfigDict(
        extra="forbid",
    )

    messages: list[BatchMessage]
    """The messages, to any clients."""


class MessageBatchResult(Model):
    """What became of the messages of a batch."""

    results: list[BatchResultItem]
    """One for each message, in their order."""


class MessageCounts(Model):
    """How many messages reached each status, by minute."""

    queued: list[QueuedItem]
    """How many messages became `queued`, by minute."""

    held: list[HeldItem]
    """How many messages became `held`, by minute."""

    in_flight: list[InFlightItem]
    """How many messages became `in_flight`, by minute."""

    sent: list[SentItem]
    """How many messages became `sent`, by minute."""

    answered: list[AnsweredItem]
    """How many messages became `answered`, by minute."""

    failed: list[FailedItem]
    """How many messages became `failed`, by minute."""

    unanswered: list[UnansweredItem]
    """How many messages became `unanswered`, by minute."""

    expired: list[ExpiredItem]
    """How many messages became `expired`, by minute."""

    cancelled: list[CancelledItem]
    """How many messages became `cancelled`, by minute."""


class MessagePage(Model):
    """A page of the messages of a client."""

    data: list[Message]
    """The messages, the newest first."""

    next_cursor: str | None
    """The `cursor` of the next page; null after the last page."""


class MessageProgress(Model):
    """How far the client has come."""

    percent: float | None
    """How much of the work is done; null if the client did not say."""

    details: str | None
    """What the client said about it."""

    at: AwareDatetime
    """When it was reported."""


class MessageProgressEvent(EventModel):
    """A client reported how far its work has come."""

    type: Literal["message.progress"] = "message.progress"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    message_id: str
    """Id of the message."""

    percent: float | None = None
    """How much of the work is done, if the client said so."""

    details: str | None = None
    """What the client said about it."""


class MessageStatus(OpenEnum):
    """`queued`: it waits to be published. `held`: the client is offline, or the broker reported that it is not subscribed. `in_flight`: it is being published. `sent`: the broker took it. `answered`: the client has answered. `failed`: it could not be sent, or the client answered with an error. `unanswered`: no answer came in time. `expired`: it was not sent in time. `cancelled`: a caller cancelled it."""

    QUEUED = "queued"
    HELD = "held"
    IN_FLIGHT = "in_flight"
    SENT = "sent"
    ANSWERED = "answered"
    FAILED = "failed"
    UNANSWERED = "unanswered"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class MessageStatusEvent(EventModel):
    """A message reached a status."""

    type: Literal["message.status"] = "message.status"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    message_id: str
    """Id of the message."""

    status: MessageStatus

    details: str | None = None
    """Why, if there is more to say."""

    answer_size: int | None = None
    """Bytes of the payload of the client's answer, if one came."""

    late: Literal[True] | None = None
    """The answer came when the message was final already; the message keeps its status."""


class MessageTotals(Model):
    """How many messages there are, and what they take."""

    unfinished: int | None
    """Those that are `queued`, `held` or `in_flight`. null for an account."""

    awaiting_answer: int | None
    """Those that are `sent` and await the answer of their client. null for an account."""

    in_flight: int | None
    """Those that are `in_flight`, for an account; otherwise null."""

    unfinished_bytes: int
    """What unfinished messages and those that await an answer take of the budgets."""

    finished: int
    """Those that have a last status and are still kept."""

    finished_bytes: int
    """What they take of the budgets."""


class MessageUnmatchedErrorEvent(EventModel):
    """A client reported an error that matches no message."""

    type: Literal["message.unmatched_error"] = "message.unmatched_error"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    in_response_to: str
    """The message that it is about, as the client says."""

    details: str
    """What the client reported."""


class MessageUnmatchedResponseEvent(EventModel):
    """An answer of a client matches no message."""

    type: Literal["message.unmatched_response"] = "message.unmatched_response"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    client_id: str
    """Id of the client."""

    in_response_to: str
    """The message that it answers, as the client says."""

    message_id: str
    """The id of the response."""

    reason: UnmatchedReason


class MinuteLatency(Model):
    """How long messages took in one minute."""

    p50_ms: float | None
    """Half of the messages took at most that from their acceptance to the broker. null: no message was sent, or it took more than a minute."""

    p99_ms: float | None
    """99 of 100 messages took at most that. null: no message was sent, or it took more than a minute."""


OfflineItem: TypeAlias = int | None


class OfflineReason(OpenEnum):
    """Why a connection is offline. `goodbye`: the client said so. `retained-offline`: its last will was published, or a goodbye that is retained. `handshake-removed`: its retained handshake was removed. `invalid-handshake`: what is retained is no valid handshake. `refused`: its handshake came after a force-disconnect. `unknown`: what is retained says nothing about the state. `unconfirmed`: the broker restarted, and no new handshake came."""

    GOODBYE = "goodbye"
    RETAINED_OFFLINE = "retained-offline"
    HANDSHAKE_REMOVED = "handshake-removed"
    INVALID_HANDSHAKE = "invalid-handshake"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    UNCONFIRMED = "unconfirmed"


class OmittedReason(OpenEnum):
    """Why the payload of an answer is not kept. `storage-full`: Redis used more memory than it should."""

    STORAGE_FULL = "storage-full"


OnlineItem: TypeAlias = int | None


PageCursor: TypeAlias = str


class ParameterPlace(OpenEnum):
    """Where a parameter stands."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"


class Problem(Model):
    """Why a request has failed: problem details of RFC 9457."""

    type: str
    """The kind of problem: it stays the same when the texts change."""

    title: str
    """The kind of problem, for people."""

    status: int
    """The HTTP status."""

    detail: str
    """What went wrong with this request, for people."""

    instance: str
    """The path of the request."""

    request_id: str
    """The header `X-Request-Id`; logs have it too."""

    errors: list[FieldError] | None = None
    """Each member and parameter that is wrong."""


QueuedItem: TypeAlias = int


ReconnectAfter: TypeAlias = str


class RequestedSweep(Model):
    """A sweep that was requested."""

    sweep_id: str
    """Id of the sweep."""

    state: RequestedSweepState

    sweep: Sweep | None
    """null until it begins."""


class RequestedSweepState(OpenEnum):
    """How far a requested sweep has come: `waiting` until it begins."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"


class Scope(OpenEnum):
    """What a caller may do."""

    CONNECTIONS_READ = "connections:read"
    CONNECTIONS_MANAGE = "connections:manage"
    MESSAGES_READ = "messages:read"
    MESSAGES_WRITE = "messages:write"
    EVENTS_READ = "events:read"
    CLUSTER_READ = "cluster:read"
    CLUSTER_MANAGE = "cluster:manage"


class SendMessage(Model):
    """A message to one client."""

    model_config = ConfigDict(
        extra="forbid",
    )

    directive: str
    """Tells the client what to do with the payload; not blank."""

    payload: Any | None = None
    """Any JSON value."""

    ttl_seconds: int | None = None
    """Time to live: an unsent message expires after it. 3600 if it is absent."""

    when_offline: WhenOffline | None = None
    """Keep the message until the client is back, or answer 409. `hold` if it is absent."""

    response_timeout_seconds: int | None = None
    """For how long a `sent` message awaits the answer of its client; after that it is `unanswered`. Without it, the message may stay `sent`, and an answer that comes while it is kept still makes it `answered` or `failed`."""


SentItem: TypeAlias = int


class ShardMovedEvent(EventModel):
    """A shard has a new owner."""

    type: Literal["shard.moved"] = "shard.moved"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    epoch: int
    """Rises with each change of the owner."""

    member: str
    """Id of the new owner."""


class Stats(Model):
    """Figures of connections and messages."""

    at: AwareDatetime
    """When it was counted."""

    connections: ConnectionSummary

    messages: MessageTotals | None
    """null for a caller without the scope `messages:read`."""

    waiting: WaitingConnections | None
    """null for a caller that is bound to an account, or without the scope `messages:read`."""

    last_hour: LastHour | None
    """null for a caller that is bound to an account, or without the scope `messages:read`."""


class StatusChange(Model):
    """A status that a message has reached."""

    status: MessageStatus
    """The status that it reached."""

    at: AwareDatetime
    """When it reached the status."""

    details: str | None
    """Why, if there is more to say."""


class Sweep(Model):
    """A comparison of the whole registry with the broker."""

    sweep_id: str
    """Id of the sweep."""

    trigger: SweepTrigger

    state: SweepState

    member: str
    """The ingester that runs it."""

    started_at: AwareDatetime
    """When it began."""

    ended_at: AwareDatetime | None
    """When it ended; null while it runs."""

    complete: bool | None
    """Whether everything was read that the broker retains: a further pass brought nothing new. null while it is being read."""

    incomplete_reason: IncompleteReason | None
    """Why it may not have read everything; null unless `complete` is false."""

    read: int
    """Retained status messages read."""

    read_per_second: float
    """How many of them it read in a second."""

    differing: int
    """Clients whose retained message differed from the registry."""

    unseen: int
    """Clients that are online in the registry and for which nothing was read; each is verified individually."""

    corrections: SweepCorrections


class SweepCorrections(Model):
    """What became of the clients that a sweep found to differ."""

    online: int
    """Clients that came online."""

    updated: int
    """Clients that were online, with another handshake."""

    offline: int
    """Clients that went offline."""

    reason: int
    """Clients that were offline for another reason."""

    none: int
    """Clients that needed no correction when they were compared again."""


class SweepEndedEvent(EventModel):
    """A sweep ended."""

    type: Literal["sweep.ended"] = "sweep.ended"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    sweep: str
    """Id of the sweep."""

    trigger: SweepTrigger

    complete: bool
    """Whether everything was read that the broker retains."""

    incomplete_reason: IncompleteReason | None = None

    read: int
    """Retained status messages read."""

    corrections: SweepCorrections


class SweepStartedEvent(EventModel):
    """A sweep began."""

    type: Literal["sweep.started"] = "sweep.started"
    """The type of the event."""

    event_id: str
    """The same each time the event comes: `<shard>-<milliseconds>-<number>`. Within a shard it rises: after a resume drop an event that is not above the last one of its shard, unless a `gap` of that shard whose `from` is earlier came before."""

    at: AwareDatetime
    """When the event was emitted."""

    shard: int
    """Number of the shard."""

    sweep: str
    """Id of the sweep."""

    trigger: SweepTrigger


Event: TypeAlias = (
    ConnectionOnlineEvent
    | ConnectionUpdatedEvent
    | ConnectionOfflineEvent
    | ConnectionRefusedEvent
    | MessageStatusEvent
    | MessageUnmatchedErrorEvent
    | MessageUnmatchedResponseEvent
    | MessageProgressEvent
    | ClientMessageEvent
    | ShardMovedEvent
    | SweepStartedEvent
    | SweepEndedEvent
    | MemberJoinedEvent
    | MemberLeftEvent
    | DeadLetterAddedEvent
    | GapEvent
    | ClosedEvent
)


class SweepState(OpenEnum):
    """How far a sweep has come."""

    RUNNING = "running"
    ENDED = "ended"


class SweepTrigger(OpenEnum):
    """Why a sweep was started. `start`: an ingester began to read a lane. `session-lost`: the broker had no session of a lane, which is new, or was lost with what waited in it. `broker-lost`: a lane lost its connection to the broker for a while. `broker-restart`: the broker restarted. `dropped`: the broker dropped messages. `key-space`: Redis may have lost data. `truncated`: the sweep before could not read everything. `interval`: `SWEEP_INTERVAL` has passed. `request`: a caller requested it."""

    START = "start"
    SESSION_LOST = "session-lost"
    BROKER_LOST = "broker-lost"
    BROKER_RESTART = "broker-restart"
    DROPPED = "dropped"
    KEY_SPACE = "key-space"
    TRUNCATED = "truncated"
    INTERVAL = "interval"
    REQUEST = "request"


UnansweredItem: TypeAlias = int


class UnmatchedReason(OpenEnum):
    """There is no such message in the shard of this client (`unknown`), it was for another client or account (`foreign`), was never published (`not-published`), or has another answer (`already-final`)."""

    UNKNOWN = "unknown"
    FOREIGN = "foreign"
    NOT_PUBLISHED = "not-published"
    ALREADY_FINAL = "already-final"


class Verification(Model):
    """What the comparison of a connection with the broker has found."""

    client_id: str
    """Id of the client."""

    state: ConnectionState
    """The state that the registry has now: the one according to the broker, unless `outcome` is `unproven`."""

    offline_reason: OfflineReason | None
    """Why it is offline; null if it is online."""

    changed: bool
    """Whether the registry had to be corrected."""

    outcome: VerificationOutcome
    """What the comparison has found."""


class VerificationOutcome(OpenEnum):
    """`agreed`: the registry had what the broker retains. `corrected`: it has been corrected. `unproven`: nothing was found for the client, and this broker cannot prove that it retains nothing, so the connection stays as it was; another try brings the same."""

    AGREED = "agreed"
    CORRECTED = "corrected"
    UNPROVEN = "unproven"


class WaitingConnections(Model):
    """What waits to be published."""

    connections_ready: int
    """Connections with a message that could be published now, and that no dispatcher has claimed."""

    oldest_ready_ms: float
    """For how long the first of them has been waiting."""

    connections_in_flight: int
    """Connections with a message that is being published."""

    connections_held: int
    """Connections with held messages."""


class WhenOffline(OpenEnum):
    """`hold`: the message is kept until the client is online. `reject`: it is refused with 409."""

    HOLD = "hold"
    REJECT = "reject"
