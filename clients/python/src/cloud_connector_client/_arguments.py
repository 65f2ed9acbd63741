"""Names of arguments: one that a method does not have is refused with those that it has."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def with_argument_names(client: C) -> C:
    """Checks the names of arguments in each public method of a class, and when it is made."""
    for name in dir(client):
        method = getattr(client, name)
        if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
            setattr(client, name, _checked(method, client.__name__ if name == "__init__" else name))
    return client


def _checked(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    _, *known = inspect.signature(method).parameters

    if inspect.iscoroutinefunction(method):

        @wraps(method)
        async def run(*args: Any, **named: Any) -> Any:
            _check(name, known, named)
            return await method(*args, **named)

        return run

    @wraps(method)
    def call(*args: Any, **named: Any) -> Any:
        _check(name, known, named)
        return method(*args, **named)

    return call


def _check(name: str, known: list[str], named: Mapping[str, object]) -> None:
    """Raises TypeError."""
    for wrong in named:
        if wrong not in known:
            raise TypeError(f"{name}() has no argument {wrong!r}: {_remedy(wrong, known)}")


def _remedy(wrong: str, known: list[str]) -> str:
    # The API and other clients have the unit in the name.
    short = wrong.removesuffix("_seconds").removesuffix("_ms").removesuffix("Ms")
    if short != wrong and short in known:
        return f"use {short!r}, a number of seconds or a timedelta"
    close = get_close_matches(wrong, known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"it takes {', '.join(known)}" if known else "it takes none"
