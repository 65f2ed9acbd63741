"""
A call without its I/O: sends a message to a client, and waits for what the client answers. It is a generator of steps, which
either client takes: it sends what is yielded, or pauses, and passes in the answer or throws the error.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import uuid4

from ._durations import LONGEST_CALL, Duration, time_limit
from ._errors import CallError, ProblemError, UnreachableError
from ._event_stream import EventStream
from ._message_end import has_ended
from ._operation import Operation, T
from .generated import operations
from .generated.models import AcceptedMessage, Connection, Message, MessageProgressEvent

CALL_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 60
"""The longest wait that the service grants one request."""
REPLY_SECONDS = 10.0
"""How much longer than its wait a request may take."""
PAUSE_SECONDS = 0.5
"""The pause before a request is repeated because the service could not be reached."""
SHORTEST_WAIT_SECONDS = 0.9
"""A request that asked for a wait and ended sooner did not wait: too many others do."""
NO_WAIT_PAUSE_SECONDS = 1.0
"""The pause before it is repeated."""

OFFLINE = ", because the client is offline"
NOT_SENT = ", because the message could not be sent"


@dataclass(frozen=True)
class Send:
    operation: Operation[Any]
    timeout: float


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Progress:
    """Asks the client to report the progress of a message until the message has ended or the time is over."""

    message_id: str
    client_id: str
    until: float

    def stream(self) -> EventStream:
        return EventStream(types=["message.progress", "message.status"], client_id=self.client_id)


OnProgress: TypeAlias = Callable[[MessageProgressEvent], None]
AsyncOnProgress: TypeAlias = Callable[[MessageProgressEvent], Awaitable[None] | None]
Step: TypeAlias = Send | Pause | Progress
Steps: TypeAlias = Generator[Step, Any, T]


class Running:
    """A call that a client takes step by step, until there is no next one."""

    def __init__(self, steps: Steps[Any]) -> None:
        self._steps = steps
        self.step: Step | None = None
        self.result: Any = None
        self.resume(None)

    def resume(self, answer: Any) -> None:
        self._next(lambda: self._steps.send(answer))

    def fail(self, error: Exception) -> None:
        self._next(lambda: self._steps.throw(error))

    def _next(self, resume: Callable[[], Step]) -> None:
        # A generator ends with this exception, which must not leave a coroutine.
        try:
            self.step = resume()
        except StopIteration as end:
            self.step, self.result = None, end.value


class Call:
    def __init__(
        self,
        client_id: str,
        directive: str,
        payload: Any,
        timeout: Duration,
        idempotency_key: str | None,
        *,
        reports_progress: bool = False,
    ) -> None:
        self._client_id = client_id
        self._directive = directive
        self._payload = payload
        self._key = idempotency_key or str(uuid4())
        self._reports_progress = reports_progress
        timeout = time_limit("timeout", timeout, LONGEST_CALL)
        self._seconds = math.ceil(timeout)
        self._until = time.monotonic() + timeout

    def steps(self) -> Steps[Any]:
        """Returns the payload of the client's answer. Raises CallError, ProblemError or UnreachableError."""
        # Who wants to know the progress needs the id of the message first.
        accepted = yield from self._until_served(self._send, waits=not self._reports_progress)
        if isinstance(accepted, Message) and has_ended(accepted):
            return (yield from self._end(accepted))
        if self._reports_progress:
            yield Progress(accepted.message_id, self._client_id, self._until)
        while True:
            begun = time.monotonic()
            message = yield from self._until_served(
                lambda wait: operations.read_message(accepted.message_id, wait=wait)
            )
            if has_ended(message):
                return (yield from self._end(message))
            now = time.monotonic()
            if now >= self._until:
                # A message is held because its client is offline.
                raise self._no_answer(message, OFFLINE if message.status == "held" else "")
            if now - begun < SHORTEST_WAIT_SECONDS:
                yield Pause(min(NO_WAIT_PAUSE_SECONDS, self._until - now))

    def _end(self, message: Message) -> Steps[Any]:
        if message.status == "expired":
            # It is held no more, and does not say why it expired.
            raise self._no_answer(message, OFFLINE if (yield from self._is_offline()) else NOT_SENT)
        return payload_of(message)

    def _is_offline(self) -> Steps[bool]:
        """A key without `connections:read` does not learn it."""
        try:
            connection: Connection = yield Send(operations.get_connection(self._client_id), REPLY_SECONDS)
        except (ProblemError, UnreachableError):
            return False
        return connection.state == "offline"

    def _no_answer(self, message: Message, why: str) -> CallError:
        return CallError(message, f"no answer within {self._seconds} s{why}")

    def _send(self, wait: int | None) -> Operation[Message | AcceptedMessage]:
        return operations.send_message(
            self._client_id,
            self._directive,
            self._payload,
            ttl=self._seconds,
            response_timeout=self._seconds,
            wait=wait,
            idempotency_key=self._key,
        )

    def _until_served(self, request: Callable[[int | None], Operation[T]], *, waits: bool = True) -> Steps[T]:
        """Asks for a wait, and repeats a request that the service did not serve: the key makes that safe."""
        while True:
            wait = min(LONGEST_WAIT_SECONDS, math.ceil(max(0.0, self._until - time.monotonic())))
            try:
                answer: T = yield Send(request((wait or None) if waits else None), wait + REPLY_SECONDS)
            except (ProblemError, UnreachableError) as error:
                pause = (error.retry_after or 0.0) if isinstance(error, ProblemError) else 0.0
                if not _may_be_served_later(error) or time.monotonic() + pause >= self._until:
                    raise
                yield Pause(max(pause, PAUSE_SECONDS / 2 + random.random() * PAUSE_SECONDS / 2))  # noqa: S311
            else:
                return answer


def payload_of(message: Message) -> Any:
    if message.status != "answered":
        raise CallError(message)
    answer = message.answer
    if answer is not None and answer.omitted is not None:
        raise CallError(message, "the answer was not stored, because Redis is almost full")
    return None if answer is None else answer.payload


def _may_be_served_later(error: ProblemError | UnreachableError) -> bool:
    return isinstance(error, UnreachableError) or error.status in (429, 503)
