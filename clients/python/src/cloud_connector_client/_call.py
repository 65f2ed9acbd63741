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

from ._access import REPLY_SECONDS
from ._durations import LONGEST_CALL, Duration, time_limit
from ._errors import CallError, ProblemError, UnreachableError
from ._event_stream import EventStream
from ._message_end import has_ended
from ._operation import Operation, T
from .generated import operations
from .generated.models import AcceptedMessage, Connection, Message, MessageProgress, MessageProgressEvent, StatusChange

CALL_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 60
"""The longest wait that the service grants one request."""
PAUSE_SECONDS = 0.5
"""The pause before a request is repeated because the service could not be reached."""
SHORTEST_WAIT_SECONDS = 0.9
"""A request that asked for a wait and ended sooner did not wait: too many others do."""
NO_WAIT_PAUSE_SECONDS = 1.0
"""The pause before it is repeated."""

OFFLINE = ", because the client is offline"
NOT_SENT = ", because the message could not be sent"
# What a message still waits for, by status. A queued one may have been sent before: an attempt can lose its PUBACK.
WAITS = {"held": OFFLINE, "queued": ", because the message is still queued"}


@dataclass(frozen=True)
class Send:
    operation: Operation[Any]
    timeout: float


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass
class Watch:
    """Asks the client to report the progress of a message until the message has ended or the time is over."""

    message_id: str
    client_id: str
    until: float
    last: MessageProgress | None = None
    """What was reported last."""

    def limit(self, most: float) -> float:
        """The time that a request may have."""
        return min(most, max(0.001, self.until - time.monotonic()))

    def stream(self) -> EventStream:
        return EventStream(types=["message.progress", "message.status"], client_id=self.client_id)

    def news(self, progress: MessageProgress) -> bool:
        """Whether it says something else than what was reported last. It is the last then."""
        is_new = self.last is None or (self.last.percent, self.last.details) != (progress.percent, progress.details)
        self.last = progress
        return is_new

    def progress_of(self, event: MessageProgressEvent) -> MessageProgress | None:
        """None if it is that of another message, or nothing new."""
        progress = MessageProgress(percent=event.percent, details=event.details, at=event.at)
        return progress if event.message_id == self.message_id and self.news(progress) else None


@dataclass(frozen=True)
class Report:
    """What the message says at its end: its event may come later, or not at all."""

    progress: MessageProgress


OnProgress: TypeAlias = Callable[[MessageProgress], None]
AsyncOnProgress: TypeAlias = Callable[[MessageProgress], Awaitable[None] | None]
Step: TypeAlias = Send | Pause | Watch | Report
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
        self._timeout = time_limit("timeout", timeout, LONGEST_CALL)
        # The service counts in whole seconds.
        self._seconds = math.ceil(self._timeout)
        self._until = time.monotonic() + self._timeout

    def steps(self) -> Steps[Any]:
        """Returns the payload of the client's answer. Raises CallError, ProblemError or UnreachableError."""
        # Who wants to know the progress needs the id of the message first.
        accepted = yield from self._send_once(waits=not self._reports_progress)
        watch = Watch(accepted.message_id, self._client_id, self._until)
        if isinstance(accepted, Message) and has_ended(accepted):
            return (yield from self._end(accepted, watch))
        if self._reports_progress:
            yield watch
        while True:
            begun = time.monotonic()
            message = yield from self._read_after_wait(accepted)
            if message is not None and has_ended(message):
                return (yield from self._end(message, watch))
            now = time.monotonic()
            if message is not None and now >= self._until:
                raise self._no_answer(message, WAITS.get(message.status, ""))
            if now < self._until and now - begun < SHORTEST_WAIT_SECONDS:
                yield Pause(min(NO_WAIT_PAUSE_SECONDS, self._until - now))

    def _end(self, message: Message, watch: Watch) -> Steps[Any]:
        if self._reports_progress and message.progress is not None and watch.news(message.progress):
            yield Report(message.progress)
        if message.status == "expired" and message.answer is None:
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
        limit = int(self._timeout) if self._timeout.is_integer() else self._timeout
        return CallError(message, f"no answer within {limit} s{why}")

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

    def _send_once(self, *, waits: bool) -> Steps[Message | AcceptedMessage]:
        """
        Its wait ends before the time is over: a request that is cut off would not say whether the message was accepted. Raises
        ProblemError if nothing was sent, UnreachableError if nobody knows.
        """
        may_be_sent = False

        def request(left: float) -> Steps[Message | AcceptedMessage]:
            nonlocal may_be_sent
            wait = min(LONGEST_WAIT_SECONDS, math.floor(left)) if waits else 0
            try:
                answer: Message | AcceptedMessage = yield Send(self._send(wait or None), wait + REPLY_SECONDS)
            except (ProblemError, UnreachableError) as error:
                may_be_sent = may_be_sent or _says_nothing(error)
                raise
            return answer

        try:
            return (yield from self._until_served(request))
        except ProblemError as error:
            if not may_be_sent:
                raise
            raise UnreachableError(f"nobody knows whether the message was accepted: {error}") from error

    def _read_after_wait(self, accepted: Message | AcceptedMessage) -> Steps[Message | None]:
        """The message as it is then; None if the time was over before, and the wait was cut off. Raises CallError."""
        is_cut_off = False

        def request(left: float) -> Steps[Message]:
            nonlocal is_cut_off
            wait = min(LONGEST_WAIT_SECONDS, math.ceil(left))
            is_cut_off = 0 < left < wait + REPLY_SECONDS
            limit = left if is_cut_off else wait + REPLY_SECONDS
            message: Message = yield Send(operations.read_message(accepted.message_id, wait=wait or None), limit)
            return message

        try:
            return (yield from self._until_served(request))
        except (ProblemError, UnreachableError) as error:
            if is_cut_off and isinstance(error, UnreachableError):
                return None
            raise unreadable(accepted, error) from error

    def _until_served(self, request: Callable[[float], Steps[T]]) -> Steps[T]:
        """Repeats a request that the service did not serve: the key makes that safe. `request` gets the time that is left."""
        while True:
            try:
                return (yield from request(max(0.0, self._until - time.monotonic())))
            except (ProblemError, UnreachableError) as error:
                pause = (error.retry_after or 0.0) if isinstance(error, ProblemError) else 0.0
                left = self._until - time.monotonic()
                if not _may_be_served_later(error) or pause >= left:
                    raise
                yield Pause(min(left, max(pause, PAUSE_SECONDS / 2 + random.random() * PAUSE_SECONDS / 2)))  # noqa: S311


def unreadable(accepted: Message | AcceptedMessage, cause: ProblemError | UnreachableError) -> CallError:
    """The message has been accepted, so this is no refusal of the call, and its id is known."""
    message = accepted
    if not isinstance(message, Message):
        begun = StatusChange(status=accepted.status, at=accepted.created_at, details=None)
        none = dict.fromkeys(("response_deadline", "progress", "answer"))
        # A newer gateway may say more about an accepted message.
        message = Message(**{**none, "status_history": [begun], **dict(accepted)})
    return CallError(message, f"the message was accepted, but its answer cannot be read: {cause}")


def payload_of(message: Message) -> Any:
    if message.status != "answered":
        raise CallError(message)
    answer = message.answer
    if answer is not None and answer.omitted is not None:
        raise CallError(message, "the answer was not stored, because Redis is almost full")
    return None if answer is None else answer.payload


def _may_be_served_later(error: ProblemError | UnreachableError) -> bool:
    return isinstance(error, UnreachableError) or error.status in (429, 502, 503, 504)


def _says_nothing(error: ProblemError | UnreachableError) -> bool:
    """Whether it leaves open whether the message was accepted. A proxy may have lost the answer of the gateway."""
    return isinstance(error, UnreachableError) or (error.status >= 500 and error.kind != "storage-full")
