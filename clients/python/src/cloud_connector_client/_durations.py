"""Durations and times as the API writes them. Callers pass seconds or a timedelta."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import TypeAlias, overload

Duration: TypeAlias = float | timedelta
"""Seconds, or a timedelta."""


def seconds_of(duration: Duration) -> float:
    if not isinstance(duration, timedelta | float | int):
        raise ValueError(
            f"a duration is a number of seconds or a timedelta, such as 3600 or timedelta(hours=1), not {duration!r}"
        )
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"a duration must be finite and not negative, not {duration!r}")
    return seconds


def whole_seconds(duration: Duration | None) -> int | None:
    """As `ttl_seconds` and the like. The service knows no parts of a second."""
    if duration is None:
        return None
    seconds = seconds_of(duration)
    if not seconds.is_integer():
        raise ValueError(f"a duration of the service must be a whole number of seconds, not {duration!r}")
    return int(seconds)


def wait_preference(duration: Duration | None) -> str | None:
    """As the header `Prefer`."""
    return None if duration is None else f"wait={whole_seconds(duration)}"


def iso_duration(duration: Duration | datetime | str) -> str:
    """As `reconnect_after`, which may be a time as well; texts, such as `never`, stay as they are."""
    if isinstance(duration, str | datetime):
        return timestamp(duration)
    milliseconds = math.ceil(seconds_of(duration) * 1000)
    text = f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".")
    return f"PT{text}S"


@overload
def timestamp(time: datetime | str) -> str: ...
@overload
def timestamp(time: None) -> None: ...
def timestamp(time: datetime | str | None) -> str | None:
    """As RFC 3339."""
    if time is None or isinstance(time, str):
        return time
    if time.tzinfo is None:
        raise ValueError("a time needs a time zone, such as datetime.now(timezone.utc)")
    return time.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
