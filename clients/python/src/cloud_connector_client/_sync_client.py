"""The sync client."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import httpx

from ._access import Access
from ._arguments import with_argument_names
from ._call import CALL_SECONDS, Call, OnProgress, Pause, Report, Running, Watch
from ._durations import LONGEST_MESSAGE, Duration, time_limit
from ._errors import ProblemError, UnreachableError
from ._event_stream import SILENCE_SECONDS, EventPosition, EventStream
from ._message_end import has_ended, may_have_ended
from ._operation import UNSET, Method, Operation, T, operation_of
from ._token import Token, TokenFile
from .generated import models
from .generated.methods import Operations
from .generated.operations import ConnectorEvent, EventFilterValue

_Self = TypeVar("_Self", bound="CloudConnector")
logger = logging.getLogger("cloud_connector_client")


@with_argument_names
class CloudConnector(Operations):
    """Every method raises ProblemError or UnreachableError. Threads may share one client."""

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | None = None,
        token_file: TokenFile | None = None,
        timeout: Duration | None = None,
        verify: ssl.SSLContext | bool = True,
        http_client: httpx.Client | None = None,
    ) -> None:
        """
        `token`: an API key or a token, or a function that returns one for each request; `token_file`: a file with one, read for
        each request. `timeout` of a request: by default 30 seconds, or its wait and 10 seconds if that is more. `verify` is that of httpx. An `http_client` is used as it is, and stays open.
        """
        self._access = Access(base_url, token, token_file, timeout)
        self._is_own = http_client is None
        self._http = httpx.Client(verify=verify) if http_client is None else http_client

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._is_own:
            self._http.close()

    def request(
        self,
        method: Method,
        path: str,
        body: object = UNSET,
        *,
        timeout: Duration | None = None,
        request_id: str | None = None,
    ) -> Any:
        """Calls an operation for which this version has no method, and returns its JSON."""
        return self._send(operation_of(method, path, {}, body=body), timeout, request_id)

    def call(
        self,
        client_id: str,
        directive: str,
        payload: Any = UNSET,
        *,
        timeout: Duration = CALL_SECONDS,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> Any:
        """
        Sends a message, waits for what the client answers, and returns the payload of the answer. It asks again if the service
        cannot be reached in between; a client that remembers what it has done does it once. Raises ProblemError if nothing was sent.
        Once the message was accepted, raises CallError if the client has not done it, has not answered within `timeout`, up to 30 days,
        or the answer cannot be read. Raises UnreachableError if nobody knows: ask again with the same `idempotency_key`.

        The call ends after `timeout`, or as soon as its last request ends: at most 10 seconds later. The service counts in whole
        seconds: for the message the time is rounded up, so it may end up to a second later. A call with the same `idempotency_key`, client, content and `timeout` sends nothing again: it waits for the
        answer to the first one.

        `on_progress` is called with what the client says about its progress; without the scope `events:read`, with the last one
        only, at the end. What it raises ends the call.
        """
        call = Call(client_id, directive, payload, timeout, idempotency_key, reports_progress=on_progress is not None)
        running = Running(call.steps())
        while running.step is not None:
            if isinstance(running.step, Watch):
                with closing(self._progress(running.step)) as reports:
                    for progress in reports:
                        if on_progress is not None:
                            on_progress(progress)
                running.resume(None)
                continue
            if isinstance(running.step, Report):
                if on_progress is not None:
                    on_progress(running.step.progress)
                running.resume(None)
                continue
            if isinstance(running.step, Pause):
                time.sleep(running.step.seconds)
                running.resume(None)
                continue
            try:
                answer = self._within(running.step.operation, running.step.timeout, None)
            except (ProblemError, UnreachableError) as error:
                running.fail(error)
            else:
                running.resume(answer)
        return running.result

    def wait(self, message_id: str, *, timeout: Duration | None = None) -> models.Message:
        """
        Returns the message when its status is `answered`, `failed`, `unanswered`, `expired` or `cancelled`, or `sent` if it has
        no response deadline. It follows the events of the client, and reads the message when the stream is open and after each
        gap, so that no change is missed. Raises TimeoutError after `timeout`.
        """
        until = None if timeout is None else time.monotonic() + time_limit("timeout", timeout, LONGEST_MESSAGE)
        message = self.read_message(message_id)
        if has_ended(message):
            return message
        stream = EventStream(types=["message.status"], client_id=message.client_id)
        with closing(self._follow(stream, until)) as events:
            for event in events:
                if may_have_ended(message_id, event):
                    message = self.read_message(message_id)
                    if has_ended(message):
                        break
        return message

    def events(
        self,
        *,
        types: Iterable[EventFilterValue] | None = None,
        client_id: str | None = None,
        last_event_id: str | None = None,
        since: datetime | str | None = None,
        position: EventPosition | None = None,
        silence: Duration = SILENCE_SECONDS,
    ) -> Iterator[ConnectorEvent]:
        """
        Events as they happen, across lost connections, until the caller breaks the loop. Without `types`, `connection.*`,
        `message.status`, `message.unmatched_error`, `shard.moved` and `sweep.*` come; a GapEvent always does. `last_event_id` resumes after an event, `since` begins at a time, and `position` goes on where
        an earlier call with it has ended. A connection without data for `silence` counts as lost.
        """
        stream = EventStream(
            types=types,
            client_id=client_id,
            last_event_id=last_event_id,
            since=since,
            position=position,
            silence=silence,
        )
        with closing(self._follow(stream)) as events:
            for event in events:
                if event is not None:
                    yield event

    def client_messages(
        self,
        *,
        client_id: str | None = None,
        since: datetime | str | None = None,
        position: EventPosition | None = None,
    ) -> Iterator[models.ClientMessageEvent]:
        """Messages that clients send without being asked, as they come."""
        for event in self.events(types=["client.message"], client_id=client_id, since=since, position=position):
            if isinstance(event, models.ClientMessageEvent):
                yield event

    def _send(self, operation: Operation[T], timeout: Duration | None, request_id: str | None) -> T:
        return self._within(operation, self._access.limit(operation, timeout), request_id)

    def _within(self, operation: Operation[T], limit: float, request_id: str | None) -> T:
        """The limit may end a wait."""
        access = self._access
        until = time.monotonic() + limit
        request = access.request(operation, access.token.read(), request_id)
        body = b""
        with access.typed_errors(limit), self._http.stream(**request, timeout=limit) as response:
            for chunk in response.iter_bytes():
                body += chunk
                # httpx limits each read, not all of them.
                if time.monotonic() > until:
                    raise access.expired(limit)
        return access.answer(operation, response, body)

    def _progress(self, watch: Watch) -> Generator[models.MessageProgress, None, None]:
        """Until the message has ended or the time is over. Without events, the call goes on waiting for its answer."""

        def ended() -> bool:
            return has_ended(self.read_message(watch.message_id, timeout=watch.limit(self._access.timeout)))

        try:
            with closing(self._follow(watch.stream(), watch.until)) as events:
                for event in events:
                    if isinstance(event, models.MessageProgressEvent):
                        progress = watch.progress_of(event)
                        if progress is not None:
                            yield progress
                    elif may_have_ended(watch.message_id, event) and ended():
                        return
        except (ProblemError, UnreachableError, TimeoutError) as error:
            logger.debug("no progress is reported any more: %s", error)

    def _follow(self, stream: EventStream, until: float | None = None) -> Generator[ConnectorEvent | None, None, None]:
        """Events, and None each time a connection is open. Raises TimeoutError at `until`."""
        while True:
            lost: ProblemError | UnreachableError | None = None
            try:
                with self._open(stream, until) as chunks:
                    stream.opened()
                    yield None
                    for chunk in chunks:
                        yield from stream.feed(chunk)
            except (ProblemError, UnreachableError) as error:
                lost = error
            check_time(until)
            pause = stream.lost(lost)
            logger.debug("the event stream is lost (%s); it is opened again in %.1f s", lost or "it ended", pause)
            time.sleep(pause if until is None else max(0.0, min(pause, until - time.monotonic())))
            check_time(until)

    @contextmanager
    def _open(self, stream: EventStream, until: float | None) -> Iterator[Iterator[bytes]]:
        access = self._access
        operation = stream.request()
        request = access.request(operation, access.token.read())
        left = stream.silence if until is None else max(0.001, until - time.monotonic())
        limits = httpx.Timeout(access.timeout, read=min(stream.silence, left))
        with access.typed_errors(), self._http.stream(**request, timeout=limits) as response:
            if not response.is_success:
                access.answer(operation, response, response.read())
            access.check_stream(response)
            with cut_off(response, until):
                yield response.iter_bytes()


def check_time(until: float | None) -> None:
    if until is not None and time.monotonic() >= until:
        raise TimeoutError("the message has not ended in time")


@contextmanager
def cut_off(response: httpx.Response, until: float | None) -> Iterator[None]:
    """Ends the connection of the response at that time, though a read waits for its bytes: httpx limits each read alone."""
    network = response.extensions.get("network_stream")
    connection = None if network is None else network.get_extra_info("socket")
    if until is None or not isinstance(connection, socket.socket):
        yield
        return

    def end() -> None:
        try:
            # Not the method of an SSL socket: that would take it from the thread that reads.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)
        except OSError as error:
            logger.debug("the connection has ended before: %s", error)

    timer = threading.Timer(max(0.0, until - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
