"""Items of a list in a body, such as the messages of a batch: models, or mappings with the members of the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from ._durations import whole_seconds


def items_of(
    name: str, items: Iterable[BaseModel | Mapping[str, Any]], durations: Mapping[str, tuple[int, int]]
) -> list[dict[str, Any]]:
    """
    As JSON, with what was set only. `durations` are members in seconds, with their least and most. A mapping may have them by either
    name, `ttl` or `ttl_seconds`, as a number or a timedelta. Raises ValueError that names the item and the member.
    """
    return [_item(f"{name}[{index}]", item, durations) for index, item in enumerate(items)]


def _item(name: str, item: BaseModel | Mapping[str, Any], durations: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    if isinstance(item, BaseModel):
        return item.model_dump(mode="json", exclude_unset=True, by_alias=True)
    members = dict(item)
    for key, (least, most) in durations.items():
        for given in (key.removesuffix("_seconds"), key):
            seconds = whole_seconds(f"{name}.{given}", members.pop(given, None), least, most)
            if seconds is not None:
                members[key] = seconds
    return members
