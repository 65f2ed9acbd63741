"""
The last event of each shard that the caller has got. A resumed stream begins about two seconds before its cursor: it repeats
events, and may contain events from before the first connection. Both are dropped: within a shard, each `event_id` is greater
than the one before. Events from before the time at which the caller wanted to begin are dropped as well.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from .generated import models
from .generated.operations import ConnectorEvent


class ShardPositions:
    def __init__(self, since: datetime | None = None) -> None:
        self._since = since
        self._last: dict[int, tuple[int, int]] = {}

    def advance(self, event: ConnectorEvent) -> bool:
        """Whether the caller wants the event, and it is later than those of its shard so far; it becomes the last one."""
        if isinstance(event, models.GapEvent):
            self._step_back(event.shard, event.from_)
        event_id = getattr(event, "event_id", None)
        if not isinstance(event_id, str):
            return True
        at = _time_of(getattr(event, "at", None))
        if self._since is not None and at is not None and at < self._since:
            return False
        match = re.fullmatch(r"([0-9]+)-([0-9]+)-([0-9]+)", event_id)
        if match is None:
            return True
        shard, milliseconds, sequence = map(int, match.groups())
        if (milliseconds, sequence) <= self._last.get(shard, (-1, -1)):
            return False
        self._last[shard] = (milliseconds, sequence)
        return True

    def _step_back(self, shard: int, start: datetime) -> None:
        """If the clock of a shard has stepped back, its positions are smaller than before: accept events from there on."""
        milliseconds = int(start.astimezone(timezone.utc).timestamp() * 1000)
        if shard in self._last and milliseconds < self._last[shard][0]:
            self._last[shard] = (milliseconds, 0)


def _time_of(value: object) -> datetime | None:
    """Of an event that this version does not know, the time is a text."""
    try:
        return TypeAdapter(AwareDatetime).validate_python(value)
    except ValidationError:
        return None
