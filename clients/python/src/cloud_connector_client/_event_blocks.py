"""Parses a `text/event-stream` as the HTML standard does, and yields blocks without data too: their id is a cursor."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 16_777_216
"""Longest line and longest event, in characters."""


@dataclass
class EventBlock:
    id: str | None = None
    data: str | None = None
    retry: float | None = None
    """Seconds to wait before a new connection."""


class EventBlocks:
    """The blocks of one connection, however its bytes are split."""

    def __init__(self) -> None:
        # A chunk may end inside a character. The standard ignores a byte order mark.
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._line: list[str] = []
        """What has come of a line without its end."""
        self._return = ""
        """A carriage return at the end of a chunk may be the first half of a line break."""
        self._block = EventBlock()
        self._data: list[str] = []
        self._line_length = 0
        self._data_length = 0

    def feed(self, chunk: bytes) -> Iterator[EventBlock]:
        """Raises ValueError for a line or an event that is too long."""
        text = self._return + self._decoder.decode(chunk)
        self._return = "\r" if text.endswith("\r") else ""
        first, *others = re.split(r"\r\n|\n|\r", text.removesuffix("\r"))
        self._line.append(first)
        self._line_length += len(first)
        for other in others:
            line = "".join(self._line)
            self._line, self._line_length = [other], len(other)
            if line:
                self._add(line)
            else:
                if self._data:
                    self._block.data = "\n".join(self._data)
                if self._block != EventBlock():
                    yield self._block
                self._block, self._data, self._data_length = EventBlock(), [], 0
        if self._line_length + self._data_length > LONGEST:
            raise ValueError(f"an event of the stream is longer than {LONGEST} characters")

    def _add(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
            self._data_length += len(value) + 1
        elif name == "id" and "\0" not in value:
            self._block.id = value
        elif name == "retry" and re.fullmatch(r"[0-9]+", value):
            self._block.retry = int(value) / 1000
