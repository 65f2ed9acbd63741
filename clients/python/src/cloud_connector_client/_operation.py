"""A request of the API and how its answer is read, without any I/O. Both clients send it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ValidationError

from ._errors import UnreachableError, problem_of

T = TypeVar("T")
Method = Literal["GET", "POST", "DELETE"]


class Unset(Enum):
    """Stands for an argument that was not passed: None is a JSON value."""

    UNSET = "UNSET"


UNSET = Unset.UNSET
Query: TypeAlias = str | int | bool | Iterable[str] | None
Answers = Mapping[int, type[BaseModel] | None]


@dataclass(frozen=True)
class Operation(Generic[T]):
    """`T` is what `answer` returns: the generated functions say which models that are."""

    method: Method
    path: str
    answers: Answers
    """The model of each status; None for a status without a body. Without any, the answer is any JSON."""
    member: str | None = None
    """The one member that is returned in place of the whole."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None

    def answer(self, status: int, reason: str, headers: Mapping[str, str], body: bytes, base: str) -> T:
        """`base`: the address of the gateway. Raises ProblemError, or UnreachableError if the body is not what the API says."""
        if not 200 <= status < 300:
            raise problem_of(status, reason, headers, body, base, self.path.partition("?")[0])
        try:
            return self._parse(status, body)
        except (ValueError, ValidationError) as error:
            raise UnreachableError(
                f"{base} answered, but not as the API says: is it the address of a gateway?"
            ) from error

    def _parse(self, status: int, body: bytes) -> T:
        answer: Any = None
        if not self.answers:
            answer = json.loads(body) if body else None
        else:
            model = self.answers.get(status, next(iter(self.answers.values())))
            if model is not None:
                answer = model.model_validate_json(body)
        result: T = answer if self.member is None else getattr(answer, self.member)
        return result


def operation_of(
    method: Method,
    url: str,
    answers: Answers,
    *,
    member: str | None = None,
    path: Mapping[str, str] | None = None,
    query: Mapping[str, Query] | None = None,
    headers: Mapping[str, str | None] | None = None,
    body: object = UNSET,
) -> Operation[Any]:
    """Leaves out what is None, and members of the body that are None or UNSET. Raises ValueError for an id that cannot be sent."""
    named = {name: value for name, value in (headers or {}).items() if value is not None}
    content = None
    if body is not UNSET:
        named["Content-Type"] = "application/json"
        content = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return Operation(method, target_of(url, path or {}, query or {}), answers, member, named, content)


def members(**given: object) -> dict[str, object]:
    """The members of a body that were given. A payload may be null, so only UNSET leaves it out."""
    return {
        name: value for name, value in given.items() if value is not UNSET and (value is not None or name == "payload")
    }


def target_of(url: str, path: Mapping[str, str], query: Mapping[str, Query]) -> str:
    def fill(match: re.Match[str]) -> str:
        value = str(path[match[1]])
        # They would lead to another path.
        if value in ("", ".", ".."):
            raise ValueError('an id must not be empty, "." or ".."')
        return quote(value, safe="")

    filled = re.sub(r"\{(\w+)\}", fill, url)
    search = urlencode({name: _text(value) for name, value in query.items() if value is not None}, quote_via=quote)
    return f"{filled}?{search}" if search else filled


def _text(value: Query) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    return ",".join(str(item) for item in value or ())
