"""The async client, for asyncio."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Any, TypeVar

import httpx

from ._access import Access
from ._arguments import with_argument_names
from ._call import CALL_SECONDS, AsyncOnProgress, Call, Pause, Report, Running, Watch
from ._durations import LONGEST_MESSAGE, Duration, time_limit
from ._errors import ProblemError, UnreachableError
from ._event_stream import SILENCE_SECONDS, EventPosition, EventStream
from ._message_end import has_ended, may_have_ended
from ._operation import UNSET, Method, Operation, T, operation_of
from ._token import AsyncToken, TokenFile
from .generated import models
from .generated.async_methods import AsyncOperations
from .generated.operations import ConnectorEvent, EventFilterValue

_Self = TypeVar("_Self", bound="AsyncCloudConnector")
logger = logging.getLogger("cloud_connector_client")


@with_argument_names
class AsyncCloudConnector(AsyncOperations):
    """Every method raises ProblemError or UnreachableError. A task that is cancelled ends its request."""

    def __init__(
        self,
        base_url: str,
        *,
        token: AsyncToken | None = None,
        token_file: TokenFile | None = None,
        timeout: Duration | None = None,
        verify: ssl.SSLContext | bool = True,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        """As of CloudConnector; a `token` function may be async."""
        self._access = Access(base_url, token, token_file, timeout)
        self._is_own = http_client is None
        self._http = httpx.AsyncClient(verify=verify) if http_client is None else http_client

    async def __aenter__(self: _Self) -> _Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._is_own:
            await self._http.aclose()

    async def request(
        self,
        method: Method,
        path: str,
        body: object = UNSET,
        *,
        timeout: Duration | None = None,
        request_id: str | None = None,
    ) -> Any:
        """Calls an operation for which this version has no method, and returns its JSON."""
        return await self._send(operation_of(method, path, {}, body=body), timeout, request_id)

    async def call(
        self,
        client_id: str,
        directive: str,
        payload: Any = UNSET,
        *,
        timeout: Duration = CALL_SECONDS,
        idempotency_key: str | None = None,
        on_progress: AsyncOnProgress | None = None,
    ) -> Any:
        """As of CloudConnector; an `on_progress` function may be async."""
        call = Call(client_id, directive, payload, timeout, idempotency_key, reports_progress=on_progress is not None)
        running = Running(call.steps())
        while running.step is not None:
            if isinstance(running.step, Watch):
                async with aclosing(self._progress(running.step)) as reports:
                    async for progress in reports:
                        await report(on_progress, progress)
                running.resume(None)
                continue
            if isinstance(running.step, Report):
                await report(on_progress, running.step.progress)
                running.resume(None)
                continue
            if isinstance(running.step, Pause):
                await asyncio.sleep(running.step.seconds)
                running.resume(None)
                continue
            try:
                answer = await self._within(running.step.operation, running.step.timeout, None)
            except (ProblemError, UnreachableError) as error:
                running.fail(error)
            else:
                running.resume(answer)
        return running.result

    async def wait(self, message_id: str, *, timeout: Duration | None = None) -> models.Message:
        """As of CloudConnector."""
        if timeout is None:
            return await self._wait(message_id)
        try:
            limit = time_limit("timeout", timeout, LONGEST_MESSAGE)
            return await asyncio.wait_for(self._wait(message_id), limit)
        except asyncio.TimeoutError as error:  # in Python 3.10 it is no TimeoutError
            raise TimeoutError("the message has not ended in time") from error

    async def events(
        self,
        *,
        types: Iterable[EventFilterValue] | None = None,
        client_id: str | None = None,
        last_event_id: str | None = None,
        since: datetime | str | None = None,
        position: EventPosition | None = None,
        silence: Duration = SILENCE_SECONDS,
    ) -> AsyncGenerator[ConnectorEvent, None]:
        """As of CloudConnector. `contextlib.aclosing` closes the connection as soon as the loop is left."""
        stream = EventStream(
            types=types,
            client_id=client_id,
            last_event_id=last_event_id,
            since=since,
            position=position,
            silence=silence,
        )
        async with aclosing(self._follow(stream)) as events:
            async for event in events:
                if event is not None:
                    yield event

    async def client_messages(
        self,
        *,
        client_id: str | None = None,
        since: datetime | str | None = None,
        position: EventPosition | None = None,
    ) -> AsyncGenerator[models.ClientMessageEvent, None]:
        """Messages that clients send without being asked, as they come."""
        found = self.events(types=["client.message"], client_id=client_id, since=since, position=position)
        async with aclosing(found) as events:
            async for event in events:
                if isinstance(event, models.ClientMessageEvent):
                    yield event

    async def _send(self, operation: Operation[T], timeout: Duration | None, request_id: str | None) -> T:
        return await self._within(operation, self._access.limit(operation, timeout), request_id)

    async def _within(self, operation: Operation[T], limit: float, request_id: str | None) -> T:
        """The limit may end a wait."""
        access = self._access
        try:
            response = await asyncio.wait_for(self._exchange(operation, limit, request_id), limit)
        except asyncio.TimeoutError as error:  # in Python 3.10 it is no TimeoutError
            raise access.expired(limit) from error
        return access.answer(operation, response, response.content)

    async def _exchange(self, operation: Operation[Any], limit: float, request_id: str | None) -> httpx.Response:
        access = self._access
        request = access.request(operation, await access.token.read_async(), request_id)
        with access.typed_errors(limit):
            return await self._http.request(**request, timeout=limit)

    async def _wait(self, message_id: str) -> models.Message:
        message = await self.read_message(message_id)
        if has_ended(message):
            return message
        stream = EventStream(types=["message.status"], client_id=message.client_id)
        async with aclosing(self._follow(stream)) as events:
            async for event in events:
                if may_have_ended(message_id, event):
                    message = await self.read_message(message_id)
                    if has_ended(message):
                        break
        return message

    async def _progress(self, watch: Watch) -> AsyncGenerator[models.MessageProgress, None]:
        """Until the message has ended or the time is over. Without events, the call goes on waiting for its answer."""

        async def ended() -> bool:
            return has_ended(await self.read_message(watch.message_id, timeout=watch.limit(self._access.timeout)))

        try:
            async with aclosing(self._follow(watch.stream())) as events:
                while True:
                    event = await asyncio.wait_for(anext(events), max(0.0, watch.until - time.monotonic()))
                    if isinstance(event, models.MessageProgressEvent):
                        progress = watch.progress_of(event)
                        if progress is not None:
                            yield progress
                    elif may_have_ended(watch.message_id, event) and await ended():
                        return
        # In Python 3.10 asyncio has a TimeoutError of its own.
        except (ProblemError, UnreachableError, asyncio.TimeoutError) as error:
            logger.debug("no progress is reported any more: %s", error)

    async def _follow(self, stream: EventStream) -> AsyncGenerator[ConnectorEvent | None, None]:
        """Events, and None each time a connection is open."""
        while True:
            lost: ProblemError | UnreachableError | None = None
            try:
                async with self._open(stream) as chunks:
                    stream.opened()
                    yield None
                    async for chunk in chunks:
                        for event in stream.feed(chunk):
                            yield event
            except (ProblemError, UnreachableError) as error:
                lost = error
            pause = stream.lost(lost)
            logger.debug("the event stream is lost (%s); it is opened again in %.1f s", lost or "it ended", pause)
            await asyncio.sleep(pause)

    @asynccontextmanager
    async def _open(self, stream: EventStream) -> AsyncIterator[AsyncIterator[bytes]]:
        access = self._access
        operation = stream.request()
        request = access.request(operation, await access.token.read_async())
        limits = httpx.Timeout(access.timeout, read=stream.silence)
        with access.typed_errors():
            async with self._http.stream(**request, timeout=limits) as response:
                if not response.is_success:
                    access.answer(operation, response, await response.aread())
                access.check_stream(response)
                yield response.aiter_bytes()


async def report(on_progress: AsyncOnProgress | None, progress: models.MessageProgress) -> None:
    called = None if on_progress is None else on_progress(progress)
    if called is not None:
        await called
