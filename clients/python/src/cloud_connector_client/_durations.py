"""
Durations, numbers and times as the API writes them, checked before anything is sent: each error names the argument, the remedy and
what was passed. Callers pass seconds or a timedelta.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from typing import TypeAlias, overload

Duration: TypeAlias = float | timedelta
"""Seconds, or a timedelta."""


DAY = 86_400
LONGEST_TIMER = 24 * DAY
"""In whole days, the longest that a socket waits."""
LONGEST_CALL = 30 * DAY
"""The longest that the service keeps a message, and awaits an answer."""
LONGEST_MESSAGE = 60 * DAY
"""One that waits for its client, and then for an answer."""


def seconds_of(name: str, duration: Duration) -> float:
    if not isinstance(duration, timedelta | float | int):
        raise ValueError(
            f"{name} must be a number of seconds or a timedelta, such as 3600 or timedelta(hours=1), not {duration!r}"
        )
    try:
        seconds = duration.total_seconds() if isinstance(duration, timedelta) else float(duration)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(f"{name} must be finite and not negative, not {duration!r}")
    return seconds


def time_limit(name: str, duration: Duration, most: int = LONGEST_TIMER) -> float:
    """Seconds, more than none: without time, nothing could be done."""
    seconds = seconds_of(name, duration)
    if not 0 < seconds <= most:
        raise ValueError(f"{name} must be more than 0 and at most {most} s ({most // DAY} days), not {duration!r}")
    return seconds


def whole_seconds(name: str, duration: Duration | None, least: int, most: int) -> int | None:
    """As `ttl_seconds` and the like. The service knows no parts of a second."""
    if duration is None:
        return None
    seconds = seconds_of(name, duration)
    if not seconds.is_integer() or not least <= seconds <= most:
        raise ValueError(f"{name} must be a whole number of seconds from {least} to {most}, not {duration!r}")
    return int(seconds)


def whole_number(name: str, number: int | None, least: int, most: int) -> int | None:
    if number is not None and not (isinstance(number, int) and least <= number <= most):
        raise ValueError(f"{name} must be a whole number from {least} to {most}, not {number!r}")
    return number


def wait_preference(duration: Duration | None) -> str | None:
    """As the header `Prefer`. The service ignores a wait that it does not understand."""
    return None if duration is None else f"wait={whole_seconds('wait', duration, 1, 60)}"


def iso_duration(name: str, duration: Duration | datetime | str) -> str:
    """As `reconnect_after`, which may be a time as well; texts, such as `never`, stay as they are. Parts of a millisecond are rounded up."""
    if isinstance(duration, str | datetime):
        return timestamp(duration)
    milliseconds = math.ceil(seconds_of(name, duration) * 1000)
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
