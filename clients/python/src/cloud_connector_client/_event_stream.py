"""
The endless event stream without its I/O: what to ask for, what the bytes mean, and what to do when a connection is lost. If the
first connection fails, the caller gets the error, so that a wrong address or key is noticed.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from datetime import datetime

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from ._durations import LONGEST_TIMER, Duration, time_limit, timestamp
from ._errors import ProblemError, UnreachableError
from ._event_blocks import EventBlock, EventBlocks
from ._model import UnknownEvent
from ._operation import Operation, operation_of
from ._shard_positions import ShardPositions
from .generated import models
from .generated.operations import EVENT_MODELS, ConnectorEvent, EventFilterValue

RETRY_SECONDS = 1.0
RETRY_CAP_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""A connection without data for so long counts as lost: four heartbeats."""


class EventPosition:
    """How far a reader of events has got. Passed to the next `events` as well, it makes that one go on there."""

    def __init__(self, last_event_id: str | None = None) -> None:
        self.last_event_id = last_event_id
        """The cursor that was reached, also without an event."""
        self.shards: ShardPositions | None = None


class EventStream:
    """One reader of events, over all of its connections."""

    def __init__(
        self,
        *,
        types: Iterable[EventFilterValue] | None = None,
        client_id: str | None = None,
        last_event_id: str | None = None,
        since: datetime | str | None = None,
        position: EventPosition | None = None,
        silence: Duration = SILENCE_SECONDS,
    ) -> None:
        self.silence = time_limit("silence", silence)
        self._types = None if types is None else [str(one) for one in types]
        self._client_id = client_id
        self._position = position or EventPosition()
        if self._position.last_event_id is None:
            self._position.last_event_id = last_event_id
        # After the cursor nothing is from before that time.
        self._since = timestamp(since) if self._position.last_event_id is None else None
        if self._position.shards is None:
            self._position.shards = ShardPositions(_parsed(self._since))
        self._shards = self._position.shards
        self._blocks = EventBlocks()
        self._retry = RETRY_SECONDS
        self._failures = 0
        self._has_been_open = False

    def request(self) -> Operation[None]:
        """What opens the next connection."""
        last = self._position.last_event_id
        query = {
            "types": self._types,
            "client_id": self._client_id,
            "since": self._since if last is None else None,
        }
        headers = {"Accept": "text/event-stream", "Last-Event-ID": last}
        return operation_of("GET", "/v1/events", {200: None}, query=query, headers=headers)

    def opened(self) -> None:
        """No later event is missed."""
        self._has_been_open = True
        self._blocks = EventBlocks()

    def feed(self, chunk: bytes) -> Iterator[ConnectorEvent]:
        """The events in these bytes of the connection."""
        for block in self._blocks.feed(chunk):
            event = self._read(block)
            if event is not None and self._shards.advance(event):
                yield event

    def lost(self, error: ProblemError | UnreachableError | None = None) -> float:
        """Raises the error if another try cannot cure it. Returns the pause before the next connection in seconds."""
        if error is not None and not (self._has_been_open and _is_transient(error)):
            raise error
        retry_after = (error.retry_after or 0.0) if isinstance(error, ProblemError) else 0.0
        # A service may ask for a pause that no sleep takes.
        pause = min(LONGEST_TIMER, max(retry_after, _backoff(self._failures, self._retry)))
        self._failures += 1
        return pause

    def _read(self, block: EventBlock) -> ConnectorEvent | None:
        self._failures = 0
        if block.retry is not None:
            self._retry = block.retry
        if block.id is not None:
            self._position.last_event_id = block.id
        if block.data is None:
            return None
        event = event_of(block.data)
        if isinstance(event, models.ClosedEvent):
            return None
        event.id = self._position.last_event_id or ""
        return event


def event_of(data: str) -> ConnectorEvent | models.ClosedEvent:
    """Raises ValueError for what is no event at all."""
    try:
        members = json.loads(data)
        model = EVENT_MODELS.get(members["type"], UnknownEvent)
        try:
            event = model.model_validate(members)
        except ValidationError:
            event = UnknownEvent.model_validate(members)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError("the event stream has sent what is no event") from error
    return event  # type: ignore[return-value]  # EVENT_MODELS has exactly the models of the union


def _is_transient(error: ProblemError | UnreachableError) -> bool:
    """Whether another try may succeed."""
    return isinstance(error, UnreachableError) or error.status == 429 or error.status >= 500


def _backoff(failures: int, base: float) -> float:
    """Doubles with each failure. Half of it is random, so that many clients do not come back at the same moment."""
    ceiling = min(RETRY_CAP_SECONDS, base * 2.0 ** min(failures, 16))
    return ceiling / 2 + random.random() * ceiling / 2  # noqa: S311


def _parsed(since: str | None) -> datetime | None:
    """Raises ValueError for a text that is no RFC 3339 timestamp."""
    return None if since is None else TypeAdapter(AwareDatetime).validate_python(since)
