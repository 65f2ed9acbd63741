"""Both clients against a gateway, Redis, a broker and a device. `npm run test:python` starts them."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import pytest

from cloud_connector_client import CallError, ProblemError, models
from drivers import AsyncDriver, Driver, SyncDriver

URL = os.environ.get("CLOUD_CONNECTOR_URL", "")
DEVICE = os.environ.get("DEVICE_ID", "")
pytestmark = pytest.mark.skipif(URL == "", reason="needs a system")


@pytest.fixture(params=[SyncDriver, AsyncDriver])
def system(request: pytest.FixtureRequest) -> Driver:
    driver: Driver = request.param(URL)
    return driver


def test_a_call_is_answered_or_raises_what_the_device_says(system: Driver) -> None:
    payload = {"job": 2**70, "text": "é😀", "nothing": None}
    assert system.run("call", DEVICE, "demo:ping", payload) == {"pong": payload}
    with pytest.raises(CallError, match="demo:dance") as raised:
        system.run("call", DEVICE, "demo:dance", timeout=timedelta(seconds=10))
    assert raised.value.status == models.MessageStatus.FAILED


def test_a_call_reports_how_far_the_device_has_come(system: Driver) -> None:
    percents: list[float] = []
    answer = system.run(
        "call", DEVICE, "demo:work", {"steps": 3}, on_progress=lambda event: percents.append(event.percent)
    )
    # What the device says before the events are read is missing.
    assert (answer, percents) == ({"steps": 3}, sorted(percents))


def test_a_message_is_sent_once_for_a_key_and_waited_for(system: Driver) -> None:
    key = str(uuid4())
    first, second = (
        system.run("send_message", DEVICE, "demo:ping", [1], response_timeout=30, idempotency_key=key) for _ in range(2)
    )
    assert first.message_id == second.message_id
    message = system.run("wait", first.message_id, timeout=30)
    assert (message.status, message.answer.payload) == ("answered", {"pong": [1]})
    final = system.run("send_message", DEVICE, "demo:ping", [2], wait=10)
    assert isinstance(final, models.Message)
    assert final.status == "answered"


def test_a_wait_ends_for_a_message_that_stays_sent(system: Driver) -> None:
    accepted = system.run("send_message", DEVICE, "demo:ping")
    assert system.run("wait", accepted.message_id, timeout=30).status in ("sent", "answered")


def test_events_begin_at_a_time_and_resume_after_one(system: Driver) -> None:
    begin = datetime.now(timezone.utc) - timedelta(seconds=1)
    accepted = system.run("send_message", DEVICE, "demo:ping", wait=10)
    of_message = system.take(2, "events", types=["message.status"], client_id=DEVICE, since=begin)
    assert all(isinstance(event, models.MessageStatusEvent) for event in of_message)
    (second,) = system.take(1, "events", types=["message.status"], client_id=DEVICE, last_event_id=of_message[0].id)
    assert isinstance(second, models.MessageStatusEvent)
    assert accepted.status == "answered"


def test_the_models_fit_what_the_service_answers(system: Driver) -> None:
    connection = system.run("get_connection", DEVICE)
    assert (connection.client_id, connection.state, connection.type) == (DEVICE, "online", "host")
    assert DEVICE in [one.client_id for one in system.take(1000, "connections", state="online")]
    assert system.run("list_connections", limit=1).data != []
    assert system.run("summarize_connections").total >= 1
    assert system.run("verify_connection", DEVICE).outcome == "agreed"
    assert system.run("get_stats").connections.total >= 1
    assert "messages:write" in system.run("whoami").scopes
    assert system.run("get_cluster").shards != []
    assert system.take(5, "dead_letters") == []
    system.run("send_message", DEVICE, "demo:ping", wait=10)
    assert system.take(1, "messages", client_id=DEVICE)[0].client_id == DEVICE
    assert system.take(1, "messages_of_all", since=datetime(2026, 1, 1, tzinfo=timezone.utc)) != []
    sweep = system.run("start_sweep")
    assert system.run("get_sweep", sweep.sweep_id).sweep_id == sweep.sweep_id


def test_a_batch_is_accepted_message_by_message(system: Driver) -> None:
    results = system.run(
        "send_messages",
        [
            models.BatchMessage(client_id=DEVICE, directive="demo:ping"),
            {"client_id": "nobody", "directive": "demo:ping"},
        ],
    )
    accepted, refused = results
    assert (accepted.status, accepted.message.client_id, accepted.problem) == (202, DEVICE, None)
    assert refused.status == 404
    assert refused.problem is not None


def test_a_refusal_names_what_is_wrong(system: Driver) -> None:
    with pytest.raises(ProblemError) as unknown:
        system.run("get_connection", "nobody")
    assert (unknown.value.status, unknown.value.kind) == (404, "unknown-connection")
    with pytest.raises(ProblemError) as invalid:
        system.run("send_message", DEVICE, " ")
    assert {error.pointer for error in invalid.value.errors} == {"/directive"}
    assert invalid.value.request_id != ""
    with pytest.raises(ProblemError) as parameter:
        system.run("list_messages", DEVICE, cursor="x")
    assert [(error.in_, error.name) for error in parameter.value.errors] == [("query", "cursor")]
    with pytest.raises(ProblemError) as online:
        system.run("forget_connection", DEVICE)
    assert online.value.status == 409
