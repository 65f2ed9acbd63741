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
    """The service refused the request, usually with an RFC 9457 problem."""

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
    "client-offline": "With hold as when_offline the message waits for the client.",
}

OUTCOMES: Mapping[str, str] = {
    "failed": "failed",
    "unanswered": "got no answer in time",
    "expired": "expired",
    "cancelled": "was cancelled",
}
"""What became of a call whose message has this status."""


class CallError(CloudConnectorError):
    """The client has not done what a call asked, or has not answered in time."""

    def __init__(self, message: models.Message, details: str | None = None) -> None:
        if details is None:
            details = message.status_history[-1].details if message.status_history else None
        self.message = message
        """The message of the call, as it was then."""
        self.details = details or ""
        """What the client says about a failure."""
        reason = f": {self.details}" if self.details else ""
        outcome = OUTCOMES.get(message.status, "failed" if self.details else "got no answer")
        super().__init__(f"the call of {message.client_id} {outcome}{reason} (message {message.message_id})")

    def __reduce__(self) -> tuple[type[CallError], tuple[models.Message, str]]:
        return type(self), (self.message, self.details)

    @property
    def status(self) -> models.MessageStatus:
        """`failed`: it cannot be done; `unanswered`, `expired`: too late; `cancelled`. Otherwise the time ran out."""
        return self.message.status


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
