"""The event stream of both clients, over connections that end, break, are silent or repeat events."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timezone
from typing import Any

import httpx
import pytest

from cloud_connector_client import (
    AsyncCloudConnector,
    EventPosition,
    ProblemError,
    UnknownEvent,
    UnreachableError,
    models,
)
from cloud_connector_client._errors import problem_of
from cloud_connector_client._event_stream import EventStream, event_of
from cloud_connector_client._sync_client import cut_off
from drivers import TLS, Driver
from service import AT, Answer, Handler, Service, lost, message, raw, refuse, reply, silent, status_event, stream

FAST = b"retry: 1\n\n"


def ids(events: list[Any]) -> list[str]:
    return [event.id for event in events]


def test_resumes_after_the_last_event_when_a_connection_ends_or_breaks(driver: Driver, service: Service) -> None:
    service.answers = [
        stream(FAST, status_event("a", "m", "queued")),
        stream(b"id: b\n\n", status_event("c", "m", "in_flight"), end="break"),
        lost,
        refuse(503, "unavailable"),
        stream(status_event("d", "m", "sent"), end="stay"),
    ]
    events = driver.take(3, "events", types=["message.status", "connection.*"], client_id="printer")
    assert ids(events) == ["a", "c", "d"]
    assert [event.status for event in events] == ["queued", "in_flight", "sent"]
    last = [request.headers["last-event-id"] for request in service.requests]
    assert last == [None, "a", "c", "c", "c"]
    path = "/v1/events?types=message.status%2Cconnection.%2A&client_id=printer"
    assert {request.path for request in service.requests} == {path}


def test_resumes_after_a_cursor_without_an_event(driver: Driver, service: Service) -> None:
    service.answers = [stream(FAST, b"id: h\n\n"), stream(status_event("i", "m", "sent"), end="stay")]
    assert ids(driver.take(1, "events")) == ["i"]
    assert service.requests[1].headers["last-event-id"] == "h"


def test_reads_bytes_that_are_split_anywhere(driver: Driver, service: Service) -> None:
    text = "data: " + json.dumps({"type": "new", "text": "é€😀"}, ensure_ascii=False) + "\r\n\r\n"
    service.answers = [stream(*(bytes([one]) for one in text.encode()), end="stay")]
    (event,) = driver.take(1, "events")
    assert event.model_extra == {"text": "é€😀"}


def test_drops_what_a_resumed_stream_repeats(driver: Driver, service: Service) -> None:
    service.answers = [
        stream(FAST, status_event("a", "m", "queued", "0-2000-1"), status_event("b", "m", "sent", "0-2000-2")),
        stream(
            status_event("a", "m", "queued", "0-2000-1"),
            status_event("b", "m", "sent", "0-2000-2"),
            status_event("c", "n", "sent", "0-2000-3"),
            end="stay",
        ),
    ]
    assert ids(driver.take(3, "events")) == ["a", "b", "c"]


def test_yields_a_gap_and_hides_the_end_of_a_stream(driver: Driver, service: Service) -> None:
    gap = {"type": "gap", "at": AT, "shard": 0, "streams": ["state"], "from": AT, "until": AT, "details": ""}
    closed = {"type": "closed", "at": AT, "reason": "stopping", "details": ""}
    lines = b"".join(f"data: {json.dumps(one)}\n\n".encode() for one in (gap, closed, gap))
    service.answers = [stream(FAST, lines, end="stay")]
    events = driver.take(2, "events")
    assert all(isinstance(event, models.GapEvent) for event in events)
    assert events[0].from_ == datetime(2026, 11, 30, 6, tzinfo=timezone.utc)


def test_an_old_client_yields_events_of_types_and_forms_that_it_does_not_know(driver: Driver, service: Service) -> None:
    new_type = {"type": "moon.phase", "event_id": "0-1-0", "phase": "full"}
    new_form = {"type": "message.status", "event_id": "0-2-0", "text": "no more members"}
    lines = b"".join(f"data: {json.dumps(one)}\n\n".encode() for one in (new_type, new_form))
    service.answers = [stream(lines + status_event("z", "m", "melted"), end="stay")]
    first, second, third = driver.take(3, "events")
    assert isinstance(first, UnknownEvent)
    assert (first.type, first.model_extra) == ("moon.phase", {"event_id": "0-1-0", "phase": "full"})
    assert isinstance(second, UnknownEvent)
    assert second.type == "message.status"
    assert isinstance(third, models.MessageStatusEvent)
    assert third.status == "melted"


@pytest.mark.parametrize("data", ["nonsense", "[]", "{}", '{"type": 7}', '{"type": ["x"]}'])
def test_refuses_what_is_no_event(data: str) -> None:
    with pytest.raises(ValueError, match="no event"):
        event_of(data)


def test_raises_if_the_first_connection_fails(driver: Driver, service: Service) -> None:
    with pytest.raises(UnreachableError):
        driver.take(1, "events")
    service.answers = [refuse(503, "unavailable")]
    with pytest.raises(ProblemError):
        driver.take(1, "events")
    service.answers = [raw(200, b"<p>Welcome", {"content-type": "text/html"})]
    with pytest.raises(UnreachableError, match="answered without an event stream"):
        driver.take(1, "events")


def test_raises_what_another_try_cannot_cure(driver: Driver, service: Service) -> None:
    service.answers = [stream(FAST, status_event("a", "m", "sent")), refuse(401, "unauthorized")]
    with pytest.raises(ProblemError) as raised:
        driver.take(2, "events")
    assert raised.value.status == 401


def test_a_silent_connection_counts_as_lost(driver: Driver, service: Service) -> None:
    def by_cursor(handler: Handler) -> None:
        resumed = handler.headers["last-event-id"] == "a"
        answer = (
            stream(status_event("b", "m", "sent"), end="stay") if resumed else stream(FAST, b"id: a\n\n", end="stay")
        )
        answer(handler)

    service.answers = [by_cursor] * 100
    assert ids(driver.take(1, "events", silence=0.1)) == ["b"]


def test_begins_at_a_time_and_drops_earlier_events(driver: Driver, service: Service) -> None:
    service.answers = [stream(FAST, status_event("a", "m", "sent"), end="stay")]
    (event,) = driver.take(1, "events", since=datetime(2026, 11, 30, 6, tzinfo=timezone.utc))
    assert event.id == "a"
    assert service.requests[0].path == "/v1/events?since=2026-11-30T06%3A00%3A00.000Z"
    later = EventStream(since="2026-11-30T06:00:00.5Z")
    assert list(later.feed(status_event("a", "m", "sent"))) == []
    with pytest.raises(ValueError, match="datetime"):
        EventStream(since="soon")


def test_a_position_makes_another_call_go_on(driver: Driver, service: Service) -> None:
    events = [status_event("a", "m", "queued"), status_event("b", "m", "sent"), status_event("c", "n", "sent")]
    service.answers = [stream(*events[:2], end="stay"), stream(*events, end="stay")]
    position = EventPosition()
    assert ids(driver.take(2, "events", position=position)) == ["a", "b"]
    assert ids(driver.take(1, "events", position=position, last_event_id="0")) == ["c"]
    assert service.requests[1].headers["last-event-id"] == "b"


def test_closes_the_connection_when_the_loop_is_left(driver: Driver, service: Service) -> None:
    closed = threading.Event()

    def endless(handler: Handler) -> None:
        stream(status_event("a", "m", "sent"), end="break")(handler)
        # The reading end sees that nobody is there any more.
        handler.rfile.read(1)
        closed.set()

    service.answers = [endless]
    assert ids(driver.take(1, "events")) == ["a"]
    assert closed.wait(10)


def test_client_messages_yields_what_clients_say(driver: Driver, service: Service) -> None:
    said = {"type": "client.message", "event_id": "0-1-0", "at": AT, "shard": 0, "client_id": "printer"}
    said |= {"message_id": "c-1", "directive": "alarm", "payload": {"paper": 0}}
    service.answers = [stream(f"data: {json.dumps(said)}\n\n".encode(), end="stay")]
    (event,) = driver.take(1, "client_messages")
    assert (event.client_id, event.directive, event.payload) == ("printer", "alarm", {"paper": 0})
    assert service.requests[0].path == "/v1/events?types=client.message"


def test_pauses_grow_are_partly_random_and_never_shorter_than_the_service_says() -> None:
    events = EventStream()
    events.opened()
    pauses = [events.lost() for _ in range(8)]
    for pause, ceiling in zip(pauses, [1, 2, 4, 8, 10, 10, 10, 10], strict=True):
        assert ceiling / 2 <= pause <= ceiling
    assert events.lost(problem_of(429, "No", {"retry-after": "20"}, b"", "http://gateway", "/v1/events")) == 20.0
    assert list(events.feed(b"retry: 3000\n\n")) == []
    assert 1.5 <= events.lost() <= 3


def test_a_connection_is_cut_off_though_a_read_waits(service: Service) -> None:
    service.answers = [stream(FAST, end="stay")]
    with (
        httpx.Client(verify=TLS) as http,
        http.stream("GET", service.url, timeout=10) as response,
        cut_off(response, time.monotonic() + 0.05),
        pytest.raises(httpx.RemoteProtocolError),
    ):
        list(response.iter_bytes())


def test_an_async_stream_is_closed_as_soon_as_it_is_left() -> None:
    class Bytes(httpx.AsyncByteStream):
        is_closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield status_event("a", "m", "sent")

        async def aclose(self) -> None:
            self.is_closed = True

    body = Bytes()
    headers = {"content-type": "text/event-stream"}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, stream=body))

    async def leave() -> bool:
        async with httpx.AsyncClient(transport=transport, verify=TLS) as http:
            connector = AsyncCloudConnector("http://gateway", http_client=http)
            async with aclosing(connector.events()) as events:
                await anext(events)
            return body.is_closed

    assert asyncio.run(leave())


class TestWait:
    @staticmethod
    def read(status: str, **more: Any) -> Answer:
        return reply(message(status, **more))

    def test_opens_no_stream_if_the_message_has_its_last_status_already(self, driver: Driver, service: Service) -> None:
        service.answers = [self.read("sent")]
        assert driver.run("wait", "m-1").status == "sent"
        assert len(service.requests) == 1

    def test_misses_no_last_status_between_the_first_read_and_the_stream(
        self, driver: Driver, service: Service
    ) -> None:
        service.answers = [self.read("sent", response_deadline=AT), stream(FAST, end="stay"), self.read("unanswered")]
        assert driver.run("wait", "m-1").status == "unanswered"
        assert service.lines()[1] == "GET /v1/events?types=message.status&client_id=printer"

    def test_reads_the_message_again_after_its_last_status_and_after_a_gap(
        self, driver: Driver, service: Service
    ) -> None:
        gap = {"type": "gap", "at": AT, "shard": 0, "streams": [], "from": AT, "until": AT, "details": ""}
        others = status_event("a", "other", "sent") + status_event("b", "m-1", "in_flight")
        events = others + f"data: {json.dumps(gap)}\n\n".encode() + status_event("c", "m-1", "failed")
        service.answers = [self.read("queued"), stream(FAST + events, end="stay")]
        service.answers += [self.read("queued"), self.read("in_flight"), self.read("failed")]
        assert driver.run("wait", "m-1").status == "failed"
        assert service.lines().count("GET /v1/messages/m-1") == 4

    def test_raises_after_its_time_though_the_stream_is_silent(self, driver: Driver, service: Service) -> None:
        service.answers = [self.read("held"), stream(FAST, end="stay"), self.read("held")]
        with pytest.raises(TimeoutError, match="not ended in time"):
            driver.run("wait", "m-1", timeout=0.2)

    def test_raises_after_its_time_though_the_stream_keeps_sending(self, driver: Driver, service: Service) -> None:
        def beats(handler: Handler) -> None:
            stream(FAST, end="break")(handler)
            for _ in range(100):
                service.stopping.wait(0.02)
                handler.write_chunk(b": heartbeat\n\n")
            handler.write_chunk(status_event("a", "m-1", "failed"))

        service.answers = [self.read("held"), beats, self.read("held"), self.read("failed")]
        with pytest.raises(TimeoutError, match="not ended in time"):
            driver.run("wait", "m-1", timeout=0.2)

    def test_raises_after_its_time_though_no_stream_opens(self, driver: Driver, service: Service) -> None:
        service.answers = [self.read("held"), silent]
        with pytest.raises(TimeoutError, match="not ended in time"):
            driver.run("wait", "m-1", timeout=0.2)

    def test_raises_a_refusal(self, driver: Driver, service: Service) -> None:
        service.answers = [self.read("held"), refuse(403, "forbidden")]
        with pytest.raises(ProblemError) as raised:
            driver.run("wait", "m-1")
        assert raised.value.kind == "forbidden"
