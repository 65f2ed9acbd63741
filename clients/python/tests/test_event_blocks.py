from __future__ import annotations

import pytest

from cloud_connector_client._event_blocks import EventBlock, EventBlocks

STREAM = (
    'retry: 2000\nid: a\n\n: heartbeat\nid:b\n\nevent: x\r\ndata: {"a":\r\ndata:"é€😀"}\r\nid: c\r\n\r\ndata: d\r\r'
).encode()
WHOLE = [EventBlock(retry=2.0, id="a"), EventBlock(id="b"), EventBlock(data='{"a":\n"é€😀"}', id="c")]


def parse(*chunks: bytes) -> list[EventBlock]:
    blocks = EventBlocks()
    return [block for chunk in chunks for block in blocks.feed(chunk)]


def test_yields_blocks_with_data_and_blocks_with_an_id_only() -> None:
    # The last carriage return may be the first half of a line break, so its block is not complete.
    assert parse(STREAM) == WHOLE


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_yields_the_same_however_the_bytes_are_split_inside_characters_and_line_breaks_too(size: int) -> None:
    assert parse(*(STREAM[i : i + size] for i in range(0, len(STREAM), size))) == WHOLE


def test_yields_the_same_wherever_one_cut_is() -> None:
    for place in range(len(STREAM)):
        assert parse(STREAM[:place], STREAM[place:]) == WHOLE


def test_yields_the_same_wherever_carriage_returns_are_cut() -> None:
    text = b"data: a\rdata: b\r\rid: c\r\r\n"
    for place in range(len(text)):
        assert parse(text[:place], text[place:]) == [EventBlock(data="a\nb"), EventBlock(id="c")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("data: lost", [], id="a block without its end"),
        pytest.param("id: a\0b\ndata: x\n\n", [EventBlock(data="x")], id="an id with a null character"),
        pytest.param("retry: soon\ndata: x\n\n", [EventBlock(data="x")], id="a retry that is no number"),
        pytest.param("data\n\n", [EventBlock(data="")], id="a field without a value"),
        pytest.param("dat: x\n\n", [], id="an unknown field"),
        pytest.param("\ufeffdata: x\n\n", [EventBlock(data="x")], id="a byte order mark"),
        pytest.param("data: a\rdata: b\r\r\n", [EventBlock(data="a\nb")], id="carriage returns alone"),
    ],
)
def test_treats_the_stream_as_the_standard_says(text: str, expected: list[EventBlock]) -> None:
    assert parse(text.encode()) == expected


def test_refuses_a_line_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="longer than"):
        parse(*[b"x" * 1_048_576] * 17)
