"""The credentials of a client. They are in no text of an object and in no error."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from pathlib import Path
from typing import TypeAlias

TokenFile: TypeAlias = str | os.PathLike[str]
Token: TypeAlias = str | Callable[[], str]
AsyncToken: TypeAlias = str | Callable[[], str | Awaitable[str]]


class TokenSource:
    """Gives the token of each request. A file is read each time: a token in a file is replaced before it expires."""

    def __init__(self, token: AsyncToken | None, token_file: TokenFile | None) -> None:
        if token is not None and token_file is not None:
            raise ValueError("give token or token_file, not both")
        self._token = token
        self._file = None if token_file is None else Path(token_file)

    def read(self) -> str | None:
        token = self._raw()
        if isawaitable(token):
            raise TypeError("this client is not async: the token function must return a str")
        return _checked(token)

    async def read_async(self) -> str | None:
        token = self._raw()
        return _checked(await token if isawaitable(token) else token)

    def _raw(self) -> str | Awaitable[str] | None:
        if self._file is not None:
            return self._file.read_text(encoding="utf-8").strip()
        return self._token() if callable(self._token) else self._token


def _checked(token: str | None) -> str | None:
    if token == "":
        raise ValueError("the token is empty: set it, or leave it out if the gateway requires no credentials")
    # httpx would refuse it as well, and its message would contain the token.
    if token is not None and not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ValueError("a token must be printable ASCII without spaces")
    return token
