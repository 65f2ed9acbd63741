"""What the generated models are made of. Older clients read what newer services say, so nothing unknown is refused."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

_Member = TypeVar("_Member", bound="OpenEnum")


class Model(BaseModel):
    """A part of a response. Members that this version does not know are in `model_extra`."""

    model_config = ConfigDict(extra="allow", validate_by_name=True, validate_by_alias=True, protected_namespaces=())


class EventModel(Model):
    """An event of the stream."""

    id: str = ""
    """Pass it as `last_event_id` to resume after this event."""


class UnknownEvent(EventModel):
    """An event that this version does not know: of another type, or of another form. `model_extra` has its members."""

    type: str


class OpenEnum(str, Enum):
    """Its members are strings. A value that this version does not know becomes a member with that name."""

    @classmethod
    def _missing_(cls: type[_Member], value: object) -> _Member | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value
        member._value_ = value
        return member

    def __str__(self) -> str:
        return str(self.value)
