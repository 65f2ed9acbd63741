"""What both clients know about their gateway: its address, the credentials, and which error a failure is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from ._durations import Duration, seconds_of
from ._errors import UnreachableError
from ._operation import Operation
from ._token import AsyncToken, TokenFile, TokenSource

TIMEOUT_SECONDS = 30.0


class Access:
    def __init__(
        self, base_url: str, token: AsyncToken | None, token_file: TokenFile | None, timeout: Duration
    ) -> None:
        # A path in it is kept.
        self.base_url = base_url.rstrip("/")
        if not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", self.base_url):
            raise ValueError(f'"{base_url}" is not the address of a gateway, such as https://connector.example.com')
        self.token = TokenSource(token, token_file)
        self.timeout = seconds_of(timeout)

    def limit(self, timeout: Duration | None) -> float:
        return self.timeout if timeout is None else seconds_of(timeout)

    def request(self, operation: Operation[Any], token: str | None, request_id: str | None = None) -> dict[str, Any]:
        """The arguments of httpx."""
        headers = dict(operation.headers)
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if request_id is not None:
            headers["X-Request-Id"] = request_id
        return {
            "method": operation.method,
            "url": self.base_url + operation.path,
            "headers": headers,
            "content": operation.body,
        }

    @contextmanager
    def typed_errors(self) -> Iterator[None]:
        """Turns the failures of httpx into an UnreachableError."""
        try:
            yield
        except httpx.LocalProtocolError:
            raise ValueError("a header of the request has characters that cannot be sent") from None
        except httpx.RequestError as error:
            reason = str(error) or type(error).__name__
            raise UnreachableError(f"{self.base_url} cannot be reached: {reason}") from error

    def expired(self, limit: float) -> UnreachableError:
        return UnreachableError(f"{self.base_url} cannot be reached: no answer within {limit:g} s")


def check_stream(response: httpx.Response) -> None:
    if not response.headers.get("content-type", "").startswith("text/event-stream"):
        raise UnreachableError("the response is no event stream: is it the address of a gateway?")
