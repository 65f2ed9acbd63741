"""The errors that the client raises."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from pydantic import ValidationError

from .generated import models


class CloudConnectorError(Exception):
    """Any error of this client."""


class UnreachableError(CloudConnectorError):
    """There was no usable response, so it is unknown whether the service has done what was asked."""


class ProblemError(CloudConnectorError):
    """
    The service refused the request, usually with an RFC 9457 problem. From `call()` it means that nothing was sent. `detail` and
    `errors` say what is wrong, `remedy` what to do if they do not, `retry_after` when a repeat may succeed, in seconds, and `request_id`
    finds it in the logs of the service.
    """

    def __init__(self, problem: models.Problem, retry_after: float | None) -> None:
        self.remedy = remedy_of(problem, retry_after)
        """What to do about it; None if the detail says so, or nobody knows."""
        super().__init__(f"{problem.title}: {problem.detail}" + (f". {self.remedy}" if self.remedy else ""))
        self.problem = problem
        self.retry_after = retry_after
        """Seconds after which a repeat may succeed; None if the service does not say."""

    def __reduce__(self) -> tuple[type[ProblemError], tuple[models.Problem, float | None]]:
        return type(self), (self.problem, self.retry_after)

    @property
    def type(self) -> str:
        """Such as `urn:cloud-connector:problem:unknown-connection`; `about:blank` if the response is no problem."""
        return self.problem.type

    @property
    def kind(self) -> str:
        """Last part of the type, such as `unknown-connection`."""
        return kind_of(self.problem)

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def errors(self) -> list[models.FieldError]:
        """What is wrong: members of the body, each with a JSON `pointer`, and parameters, by `in_` and `name`."""
        return self.problem.errors or []

    @property
    def request_id(self) -> str:
        """The id of the request in the logs of the service."""
        return self.problem.request_id


def kind_of(problem: models.Problem) -> str:
    return problem.type.rpartition(":")[2]


def remedy_of(problem: models.Problem, retry_after: float | None) -> str | None:
    kind = kind_of(problem)
    if retry_after is not None:
        return f"Try again in {retry_after:g} s."
    if problem.status == 401:
        return "Set the token of the client to an API key or a token that the gateway knows."
    if problem.status == 403 and "scope" in problem.detail:
        return "Use a key that has this scope."
    # A sweep that is not kept has another detail.
    if kind == "not-found" and "served" in problem.detail:
        return "Is the gateway older than this client?"
    return REMEDIES.get(kind)


REMEDIES: Mapping[str, str] = {
    "unknown-connection": "Is the id right? connections() lists the clients that are known.",
}

DETAILS: Mapping[str, str] = {
    "unanswered": "the client did not answer in time",
    "cancelled": "the message was cancelled",
    "sent": "the message was sent, and the service awaits no answer",
}
"""What an ended message says without details of its history."""


class CallError(CloudConnectorError):
    """
    The client has not done what a call asked, has not answered in time, or its answer cannot be read. The message was accepted, so the
    client may have done it nevertheless, unless `status` says otherwise. `message` is the message as it was then: `read_message()` of
    its `message_id` shows an answer that comes later. `details` say why there is no answer.
    """

    def __init__(self, message: models.Message, details: str | None = None) -> None:
        self.message = message
        """The message of the call, as it was then."""
        self.details = details_of(message) if details is None else details
        """
        Why there is no answer: what the client says about a failure, that it is offline or did not answer in time, or why its answer
        cannot be read; `__cause__` is the ProblemError or the UnreachableError then.
        """
        reason = f": {self.details}" if self.details else ""
        outcome = "expired" if message.status == "expired" else "failed"
        super().__init__(f"the call of {message.client_id} {outcome}{reason} (message {message.message_id})")

    def __reduce__(self) -> tuple[type[CallError], tuple[models.Message, str]]:
        return type(self), (self.message, self.details)

    @property
    def status(self) -> models.MessageStatus:
        """`failed`: it cannot be done; `unanswered`, `expired`: too late; `cancelled`. Otherwise the time ran out, or the answer cannot be read."""
        return self.message.status


def details_of(message: models.Message) -> str:
    """A late answer may be the error of a client as well: the service does not say which, so it is not the result of a call."""
    last = message.status_history[-1].details if message.status_history else None
    details = last if last is not None else DETAILS.get(message.status, "")
    is_late = message.answer is not None and message.answer.late
    return f"{details}; it has answered late, which `answer` of the message shows" if is_late else details


def problem_of(status: int, reason: str, headers: Mapping[str, str], body: bytes, base: str, path: str) -> ProblemError:
    """
    The error for a response that is no success; it may come from a proxy, without a problem. `base`: the address of the gateway.
    """
    retry_after = retry_after_of(headers.get("retry-after"))
    if headers.get("content-type", "").startswith("application/problem+json"):
        try:
            return ProblemError(models.Problem.model_validate(json.loads(body)), retry_after)
        except (ValueError, ValidationError):
            pass
    problem = models.Problem(
        type="about:blank",
        title=reason or f"HTTP {status}",
        status=status,
        detail=stranger_text(base, status),
        instance=path,
        request_id=headers.get("x-request-id", ""),
    )
    return ProblemError(problem, retry_after)


def stranger_text(base: str, status: int) -> str:
    """About an answer that is not of a gateway."""
    # A proxy in front of a gateway does not say 404 in place of it.
    who = f"{base} is not a gateway of Cloud Connector: it" if status == 404 else base
    # That is what servers say to plain HTTP on their port for TLS.
    remedy = "; is it https, not http?" if status == 400 and base.startswith("http:") else ""
    return f"{who} answered {status} without a problem document{remedy}"


def retry_after_of(header: str | None) -> float | None:
    """Seconds; the header has them, or a date."""
    if header is None:
        return None
    if re.fullmatch(r"[0-9]+", header):
        return float(header)
    try:
        date = parsedate_to_datetime(header)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, float(math.ceil((date - datetime.now(timezone.utc)).total_seconds())))
