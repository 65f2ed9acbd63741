# Written by `npm run generate` from the OpenAPI document: do not edit.

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from .._durations import Duration, iso_duration, timestamp, wait_preference, whole_number, whole_seconds
from .._items import items_of
from .._model import EventModel, UnknownEvent
from .._operation import UNSET, Operation, members, operation_of
from . import models

ConnectionStateValue: TypeAlias = models.ConnectionState | Literal["online", "offline"]
ConnectionTypeValue: TypeAlias = models.ConnectionType | Literal["host", "proxy"]
EventFilterValue: TypeAlias = (
    models.EventFilter
    | Literal[
        "connection.online",
        "connection.updated",
        "connection.offline",
        "connection.refused",
        "message.status",
        "message.unmatched_error",
        "message.unmatched_response",
        "message.progress",
        "client.message",
        "shard.moved",
        "sweep.started",
        "sweep.ended",
        "member.joined",
        "member.left",
        "dead_letter.added",
        "connection.*",
        "message.*",
        "client.*",
        "shard.*",
        "sweep.*",
        "member.*",
        "dead_letter.*",
    ]
)
MessageStatusValue: TypeAlias = (
    models.MessageStatus
    | Literal["queued", "held", "in_flight", "sent", "answered", "failed", "unanswered", "expired", "cancelled"]
)
OfflineReasonValue: TypeAlias = (
    models.OfflineReason
    | Literal[
        "goodbye", "retained-offline", "handshake-removed", "invalid-handshake", "refused", "unknown", "unconfirmed"
    ]
)
WhenOfflineValue: TypeAlias = models.WhenOffline | Literal["hold", "reject"]
ConnectorEvent: TypeAlias = (
    models.ConnectionOnlineEvent
    | models.ConnectionUpdatedEvent
    | models.ConnectionOfflineEvent
    | models.ConnectionRefusedEvent
    | models.MessageStatusEvent
    | models.MessageUnmatchedErrorEvent
    | models.MessageUnmatchedResponseEvent
    | models.MessageProgressEvent
    | models.ClientMessageEvent
    | models.ShardMovedEvent
    | models.SweepStartedEvent
    | models.SweepEndedEvent
    | models.MemberJoinedEvent
    | models.MemberLeftEvent
    | models.DeadLetterAddedEvent
    | models.GapEvent
    | UnknownEvent
)
"""What `events` yields. `closed` is not among them: after it, the client opens a new connection."""
EVENT_MODELS: Mapping[str, type[EventModel]] = {
    "connection.online": models.ConnectionOnlineEvent,
    "connection.updated": models.ConnectionUpdatedEvent,
    "connection.offline": models.ConnectionOfflineEvent,
    "connection.refused": models.ConnectionRefusedEvent,
    "message.status": models.MessageStatusEvent,
    "message.unmatched_error": models.MessageUnmatchedErrorEvent,
    "message.unmatched_response": models.MessageUnmatchedResponseEvent,
    "message.progress": models.MessageProgressEvent,
    "client.message": models.ClientMessageEvent,
    "shard.moved": models.ShardMovedEvent,
    "sweep.started": models.SweepStartedEvent,
    "sweep.ended": models.SweepEndedEvent,
    "member.joined": models.MemberJoinedEvent,
    "member.left": models.MemberLeftEvent,
    "dead_letter.added": models.DeadLetterAddedEvent,
    "gap": models.GapEvent,
    "closed": models.ClosedEvent,
}


def get_cluster() -> Operation[models.Cluster]:
    """Members, shards, lanes, Redis and the broker."""
    return operation_of("GET", "/v1/cluster", {200: models.Cluster})


def start_sweep() -> Operation[models.RequestedSweep]:
    """Compare the whole registry with the broker."""
    return operation_of("POST", "/v1/cluster/sweeps", {202: models.RequestedSweep})


def get_latest_sweep() -> Operation[models.Sweep]:
    """The last sweep."""
    return operation_of("GET", "/v1/cluster/sweeps/latest", {200: models.Sweep})


def get_sweep(sweep_id: str) -> Operation[models.RequestedSweep]:
    """One sweep."""
    return operation_of(
        "GET", "/v1/cluster/sweeps/{sweep_id}", {200: models.RequestedSweep}, path={"sweep_id": sweep_id}
    )


def list_dead_letters(*, limit: int | None = None, cursor: str | None = None) -> Operation[models.DeadLetterPage]:
    """Dead letters."""
    return operation_of(
        "GET",
        "/v1/cluster/dead-letters",
        {200: models.DeadLetterPage},
        query={"limit": whole_number("limit", limit, 1, 200), "cursor": cursor},
    )


def list_connections(
    *,
    state: ConnectionStateValue | None = None,
    type: ConnectionTypeValue | None = None,
    client_id_prefix: str | None = None,
    offline_reason: OfflineReasonValue | None = None,
    held: Literal[True] | None = None,
    refused: Literal[True] | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    insights_id: str | None = None,
    machine_id: str | None = None,
    bios_uuid: str | None = None,
    subscription_manager_id: str | None = None,
    fqdn: str | None = None,
    ip_address: str | None = None,
    mac_address: str | None = None,
) -> Operation[models.ConnectionPage]:
    """List connections."""
    return operation_of(
        "GET",
        "/v1/connections",
        {200: models.ConnectionPage},
        query={
            "state": state,
            "type": type,
            "client_id_prefix": client_id_prefix,
            "offline_reason": offline_reason,
            "held": held,
            "refused": refused,
            "limit": whole_number("limit", limit, 1, 1000),
            "cursor": cursor,
            "insights_id": insights_id,
            "machine_id": machine_id,
            "bios_uuid": bios_uuid,
            "subscription_manager_id": subscription_manager_id,
            "fqdn": fqdn,
            "ip_address": ip_address,
            "mac_address": mac_address,
        },
    )


def summarize_connections() -> Operation[models.ConnectionSummary]:
    """Count connections by state and type."""
    return operation_of("GET", "/v1/connections/summary", {200: models.ConnectionSummary})


def get_connection(client_id: str) -> Operation[models.Connection]:
    """One connection."""
    return operation_of("GET", "/v1/connections/{client_id}", {200: models.Connection}, path={"client_id": client_id})


def forget_connection(client_id: str) -> Operation[None]:
    """Forget an offline connection."""
    return operation_of("DELETE", "/v1/connections/{client_id}", {204: None}, path={"client_id": client_id})


def force_disconnect(client_id: str, reconnect_after: Duration | datetime | str) -> Operation[models.ForcedOff]:
    """Disconnect a client."""
    return operation_of(
        "POST",
        "/v1/connections/{client_id}/force-disconnect",
        {202: models.ForcedOff},
        path={"client_id": client_id},
        body=members(reconnect_after=iso_duration("reconnect_after", reconnect_after)),
    )


def verify_connection(client_id: str) -> Operation[models.Verification]:
    """Compare a connection with the broker."""
    return operation_of(
        "POST", "/v1/connections/{client_id}/verify", {200: models.Verification}, path={"client_id": client_id}
    )


def lift_refusal(client_id: str) -> Operation[None]:
    """Accept a refused client again."""
    return operation_of("DELETE", "/v1/connections/{client_id}/refusal", {204: None}, path={"client_id": client_id})


def search_messages(
    *,
    status: MessageStatusValue | None = None,
    client_id: str | None = None,
    since: datetime | str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[models.FoundMessages]:
    """List messages across connections."""
    return operation_of(
        "GET",
        "/v1/messages",
        {200: models.FoundMessages},
        query={
            "status": status,
            "client_id": client_id,
            "since": timestamp(since),
            "limit": whole_number("limit", limit, 1, 1000),
            "cursor": cursor,
        },
    )


def send_messages(
    messages: Iterable[models.BatchMessage | Mapping[str, Any]],
) -> Operation[list[models.BatchResultItem]]:
    """Send up to 1,000 messages."""
    return operation_of(
        "POST",
        "/v1/messages",
        {200: models.MessageBatchResult},
        member="results",
        body=members(
            messages=items_of(
                "messages", messages, {"ttl_seconds": (1, 2592000), "response_timeout_seconds": (1, 2592000)}
            )
        ),
    )


def send_message(
    client_id: str,
    directive: str,
    payload: Any = UNSET,
    *,
    wait: Duration | None = None,
    idempotency_key: str | None = None,
    ttl: Duration | None = None,
    when_offline: WhenOfflineValue | None = None,
    response_timeout: Duration | None = None,
) -> Operation[models.Message | models.AcceptedMessage]:
    """Send a message to a client."""
    return operation_of(
        "POST",
        "/v1/connections/{client_id}/messages",
        {200: models.Message, 202: models.AcceptedMessage},
        path={"client_id": client_id},
        headers={"Prefer": wait_preference(wait), "Idempotency-Key": idempotency_key},
        body=members(
            directive=directive,
            payload=payload,
            ttl_seconds=whole_seconds("ttl", ttl, 1, 2592000),
            when_offline=when_offline,
            response_timeout_seconds=whole_seconds("response_timeout", response_timeout, 1, 2592000),
        ),
    )


def list_messages(
    client_id: str, *, status: MessageStatusValue | None = None, limit: int | None = None, cursor: str | None = None
) -> Operation[models.MessagePage]:
    """The messages of a client, the newest first."""
    return operation_of(
        "GET",
        "/v1/connections/{client_id}/messages",
        {200: models.MessagePage},
        path={"client_id": client_id},
        query={"status": status, "limit": whole_number("limit", limit, 1, 1000), "cursor": cursor},
    )


def read_message(message_id: str, *, wait: Duration | None = None) -> Operation[models.Message]:
    """The status of a message."""
    return operation_of(
        "GET",
        "/v1/messages/{message_id}",
        {200: models.Message},
        path={"message_id": message_id},
        headers={"Prefer": wait_preference(wait)},
    )


def cancel_message(message_id: str) -> Operation[None]:
    """Cancel a message that is queued or held."""
    return operation_of("DELETE", "/v1/messages/{message_id}", {204: None}, path={"message_id": message_id})


def get_stats() -> Operation[models.Stats]:
    """Figures of connections and messages."""
    return operation_of("GET", "/v1/stats", {200: models.Stats})


def whoami() -> Operation[models.Caller]:
    """The caller of this request."""
    return operation_of("GET", "/v1/whoami", {200: models.Caller})
