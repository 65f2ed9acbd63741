"""Whether a message has ended."""

from __future__ import annotations

from .generated.models import Message, MessageStatus, MessageStatusEvent
from .generated.operations import ConnectorEvent

FINAL = frozenset({"sent", "answered", "failed", "unanswered", "expired", "cancelled"})
"""Statuses after which the service does nothing more; a later answer of the client still turns `sent` into another one."""


def is_final(status: MessageStatus) -> bool:
    """Whether the service does nothing more with a message of this status; one that is `sent` may await an answer: `has_ended`."""
    return status.value in FINAL


def has_ended(message: Message) -> bool:
    """Whether the service does nothing more with it. It still awaits the answer of one that is `sent` and has a deadline."""
    return is_final(message.status) and not (message.status == "sent" and message.response_deadline is not None)


def may_have_ended(message_id: str, event: ConnectorEvent | None) -> bool:
    """Whether the message must be read again: after its last status, after a gap, and when a stream is open (None)."""
    return not isinstance(event, MessageStatusEvent) or (event.message_id == message_id and is_final(event.status))
