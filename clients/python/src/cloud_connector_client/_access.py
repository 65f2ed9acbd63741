"""What both clients know about their gateway: its address, the credentials, and which error a failure is."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from ._durations import Duration, time_limit
from ._errors import UnreachableError
from ._operation import Operation
from ._token import AsyncToken, TokenFile, TokenSource

TIMEOUT_SECONDS = 30.0
REPLY_SECONDS = 10.0
"""How much longer than its wait a request may take."""
T = TypeVar("T")


class Access:
    def __init__(
        self, base_url: str, token: AsyncToken | None, token_file: TokenFile | None, timeout: Duration | None
    ) -> None:
        # A path in it is kept.
        self.base_url = base_url.rstrip("/")
        if not re.fullmatch(r"https?://[^/?#@\s]+(/[^?#\s]*)?", self.base_url):
            raise ValueError(f'"{base_url}" is not the address of a gateway, such as https://connector.example.com')
        if self.base_url.endswith("/v1"):
            raise ValueError(f'"{base_url}" must not end in /v1, which the client adds')
        self.token = TokenSource(token, token_file)
        self._has_default = timeout is None
        self.timeout = TIMEOUT_SECONDS if timeout is None else time_limit("timeout", timeout)

    def limit(self, operation: Operation[Any], timeout: Duration | None) -> float:
        """The default one grows with the wait. Raises ValueError for a time that is none, or not longer than the wait."""
        limit = self.timeout if timeout is None else time_limit("timeout", timeout)
        wait = operation.headers.get("Prefer", "").removeprefix("wait=")
        if wait and timeout is None and self._has_default:
            return max(limit, int(wait) + REPLY_SECONDS)
        if wait and limit <= int(wait):
            raise ValueError(f"timeout must be more than the {wait} s of wait, not {limit:g} s")
        return limit

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

    def answer(self, operation: Operation[T], response: httpx.Response, body: bytes) -> T:
        """Raises ProblemError and UnreachableError."""
        return operation.answer(response.status_code, response.reason_phrase, response.headers, body, self.base_url)

    def check_stream(self, response: httpx.Response) -> None:
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise UnreachableError(f"{self.base_url} answered without an event stream: is it the address of a gateway?")

    @contextmanager
    def typed_errors(self, limit: float | None = None) -> Iterator[None]:
        """Turns the failures of httpx into an UnreachableError. `limit`: the time of the request."""
        try:
            yield
        except httpx.TimeoutException as error:
            raise self.expired(limit) from error
        except httpx.LocalProtocolError:
            raise ValueError("a header of the request has characters that cannot be sent") from None
        except httpx.RequestError as error:
            raise UnreachableError(
                f"{self.base_url} cannot be reached: {self._with_remedy(reason_of(error))}"
            ) from error

    def expired(self, limit: float | None) -> UnreachableError:
        reason = self._with_remedy("no answer in time" if limit is None else f"no answer within {limit:g} s")
        return UnreachableError(f"{self.base_url} cannot be reached: {reason}")

    def _with_remedy(self, reason: str) -> str:
        if reason == NOT_TLS:
            return f"{reason}: is it http, not https?"
        or_tls = ", or is it https, not http" if reason in CLOSED and self.base_url.startswith("http:") else ""
        return f"{reason}; is the gateway running there{or_tls}?"


def reason_of(error: httpx.RequestError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) and cause.reason in NOT_TLS_REASONS:
            return NOT_TLS
        cause = cause.__cause__ or cause.__context__
    return str(error) or type(error).__name__


NOT_TLS = "the server there does not speak TLS"
CLOSED = {"Server disconnected without sending a response.", "[Errno 104] Connection reset by peer"}
"""What httpx says if a server ends a connection without a response, as one for TLS does when it gets plain HTTP."""
NOT_TLS_REASONS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}
"""What OpenSSL says, in its versions, when the first bytes of a server are not TLS."""
