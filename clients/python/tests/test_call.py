"""The steps of a call, without a service and without a clock."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud_connector_client import CallError, ProblemError, UnreachableError, models
from cloud_connector_client._call import Call, Pause, Report, Running, Send, Watch
from cloud_connector_client._errors import problem_of
from cloud_connector_client._operation import UNSET
from service import ACCEPTED, AT, answered, connection, message

SENT = models.Message.model_validate(message("sent", response_deadline="2026-11-30T07:00:00Z"))
DONE = models.Message.model_validate(answered({"pages": 3}))


def problem(status: int, headers: dict[str, str] | None = None) -> ProblemError:
    return problem_of(status, "No", headers or {}, b"", "http://gateway", "/v1")


class Play:
    """Takes the steps of a call: each request gets the next outcome."""

    def __init__(
        self, *outcomes: Any, timeout: float = 30, key: str | None = None, payload: Any = 1, progress: bool = False
    ) -> None:
        self.sent: list[Send] = []
        self.watched: list[Watch] = []
        self.reported: list[models.MessageProgress] = []
        self.pauses: list[float] = []
        self._outcomes = list(outcomes)
        self._steps = Call("printer", "print", payload, timeout, key, reports_progress=progress).steps()

    def run(self) -> Any:
        running = Running(self._steps)
        while running.step is not None:
            if isinstance(running.step, Pause):
                self.pauses.append(running.step.seconds)
                running.resume(None)
                continue
            if isinstance(running.step, Watch):
                self.watched.append(running.step)
                running.resume(None)
                continue
            if isinstance(running.step, Report):
                self.reported.append(running.step.progress)
                running.resume(None)
                continue
            self.sent.append(running.step)
            outcome = self._outcomes.pop(0)
            if isinstance(outcome, Exception):
                running.fail(outcome)
            else:
                running.resume(outcome)
        return running.result

    def failure(self) -> Exception:
        with pytest.raises((CallError, ProblemError, UnreachableError)) as raised:
            self.run()
        return raised.value


def accepted() -> models.AcceptedMessage:
    return models.AcceptedMessage.model_validate(ACCEPTED)


def test_waits_for_the_answer_with_one_request_and_returns_its_payload() -> None:
    play = Play(DONE, timeout=9.5, key="job-7")
    assert play.run() == {"pages": 3}
    (send,) = play.sent
    assert (send.operation.method, send.operation.path) == ("POST", "/v1/connections/printer/messages")
    # A request that is cut off would not say whether the message was accepted: its wait ends before the time is over.
    assert send.operation.headers["Prefer"] == "wait=9"
    assert send.operation.headers["Idempotency-Key"] == "job-7"
    assert send.timeout == 19
    body = {"directive": "print", "payload": 1, "ttl_seconds": 10, "response_timeout_seconds": 10}
    assert json.loads(send.operation.body or b"") == body


def test_has_a_key_of_its_own_and_returns_none_if_the_answer_has_no_payload() -> None:
    plays = [Play(models.Message.model_validate(answered(None)), payload=UNSET) for _ in range(2)]
    assert [play.run() for play in plays] == [None, None]
    assert len({play.sent[0].operation.headers["Idempotency-Key"] for play in plays}) == 2
    assert "payload" not in json.loads(plays[0].sent[0].operation.body or b"")


def test_sends_a_payload_of_null() -> None:
    play = Play(DONE, payload=None)
    play.run()
    assert json.loads(play.sent[0].operation.body or b"")["payload"] is None


def test_goes_on_waiting_and_pauses_if_the_service_did_not_let_it_wait() -> None:
    play = Play(accepted(), SENT, DONE, timeout=200)
    assert play.run() == {"pages": 3}
    waits = [f"{send.operation.method} {send.operation.headers['Prefer']}" for send in play.sent]
    assert waits == ["POST wait=60", "GET wait=60", "GET wait=60"]
    assert play.pauses == [1.0]


def test_asks_for_no_wait_first_if_progress_is_reported_which_needs_the_id_of_the_message() -> None:
    play = Play(accepted(), DONE, progress=True)
    assert play.run() == {"pages": 3}
    assert ["Prefer" in send.operation.headers for send in play.sent] == [False, True]
    assert [(one.message_id, one.client_id) for one in play.watched] == [("m-1", "printer")]
    at_once = Play(DONE, progress=True)
    assert at_once.run() == {"pages": 3}
    assert at_once.watched == []


def test_ends_at_once_if_the_message_is_sent_and_the_service_awaits_no_answer() -> None:
    play = Play(accepted(), models.Message.model_validate(message("sent")))
    error = play.failure()
    assert isinstance(error, CallError)
    assert error.status == "sent"
    assert len(play.sent) == 2


@pytest.mark.parametrize(
    ("status", "text", "details"),
    [
        ("failed", "the call of printer failed: out of paper (message m-1)", "out of paper"),
        (
            "unanswered",
            "the call of printer failed: the client did not answer in time (message m-1)",
            "the client did not answer in time",
        ),
        (
            "cancelled",
            "the call of printer failed: the message was cancelled (message m-1)",
            "the message was cancelled",
        ),
    ],
)
def test_raises_if_the_message_is_not_answered(status: str, text: str, details: str) -> None:
    error = Play(models.Message.model_validate(message(status))).failure()
    assert isinstance(error, CallError)
    assert (str(error), error.status, error.details, error.message.message_id) == (text, status, details, "m-1")


def test_raises_if_its_time_has_run_out_before_the_answer() -> None:
    error = Play(accepted(), SENT, timeout=1e-6).failure()
    assert isinstance(error, CallError)
    assert (error.status, error.details) == ("sent", "no answer within 1e-06 s")


@pytest.mark.parametrize(
    ("status", "why"), [("held", "the client is offline"), ("queued", "the message is still queued")]
)
def test_says_why_the_message_still_waits_then(status: str, why: str) -> None:
    error = Play(accepted(), models.Message.model_validate(message(status)), timeout=1e-6).failure()
    assert str(error) == f"the call of printer failed: no answer within 1e-06 s, because {why} (message m-1)"


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (models.Connection.model_validate(connection("printer", state="offline")), "the client is offline"),
        (models.Connection.model_validate(connection("printer")), "the message could not be sent"),
        # The key may read no connections.
        (problem(403), "the message could not be sent"),
        (UnreachableError("lost"), "the message could not be sent"),
    ],
)
def test_says_of_an_expired_message_why_it_was_not_sent(outcome: Any, why: str) -> None:
    play = Play(models.Message.model_validate(message("expired")), outcome, timeout=5)
    assert str(play.failure()) == f"the call of printer expired: no answer within 5 s, because {why} (message m-1)"
    assert play.sent[1].operation.path == "/v1/connections/printer"


def test_raises_if_the_answer_came_but_was_not_stored() -> None:
    stored = models.Message.model_validate(answered(None, omitted="storage-full", size=9))
    error = Play(stored).failure()
    assert isinstance(error, CallError)
    assert error.status == "answered"


def test_asks_again_with_the_same_key_if_the_service_cannot_be_reached_or_serves_nobody_now() -> None:
    play = Play(UnreachableError("lost"), problem(503), problem(429), accepted(), UnreachableError("lost"), DONE)
    assert play.run() == {"pages": 3}
    posts = [send.operation for send in play.sent if send.operation.method == "POST"]
    assert len(posts) == 4
    assert len({post.headers["Idempotency-Key"] for post in posts}) == 1
    assert all(0.25 <= pause <= 0.5 for pause in play.pauses)


def test_pauses_as_long_as_the_service_says() -> None:
    play = Play(problem(503, {"retry-after": "7"}), DONE)
    play.run()
    assert play.pauses == [7.0]


@pytest.mark.parametrize("error", [problem(404), problem(429, {"retry-after": "60"})])
def test_asks_once_for_what_another_request_cannot_cure(error: ProblemError) -> None:
    play = Play(error)
    assert play.failure() is error
    assert len(play.sent) == 1


def test_cannot_know_whether_it_was_done_if_the_service_stays_away() -> None:
    assert isinstance(Play(UnreachableError("lost"), timeout=1e-6).failure(), UnreachableError)


@pytest.mark.parametrize(
    "refusal",
    [problem(401), problem(403), problem(404), problem(503, {"retry-after": "60"})],
    ids=lambda one: one.status,
)
def test_fails_as_a_call_and_does_not_say_that_it_was_refused_if_its_answer_cannot_be_read(
    refusal: ProblemError,
) -> None:
    error = Play(accepted(), refusal).failure()
    assert isinstance(error, CallError)
    assert (error.status, error.message.message_id, error.__cause__) == ("queued", "m-1", refusal)
    assert error.details.startswith("the message was accepted, but its answer cannot be read: No: ")
    assert [change.status for change in error.message.status_history] == ["queued"]


def test_fails_as_a_call_with_the_id_of_its_message_if_nothing_answers_once_the_message_was_accepted() -> None:
    away = UnreachableError("away")
    error = Play(accepted(), away, timeout=1e-6).failure()
    assert isinstance(error, CallError)
    assert (error.status, error.message.message_id, error.__cause__) == ("queued", "m-1", away)
    assert error.details == "the message was accepted, but its answer cannot be read: away"


def test_an_accepted_message_of_a_newer_gateway_may_have_members_of_a_message() -> None:
    progress = {"percent": 50, "details": None, "at": AT}
    newer = models.AcceptedMessage.model_validate({**ACCEPTED, "progress": progress, "status_history": []})
    error = Play(newer, problem(403)).failure()
    assert isinstance(error, CallError)
    assert error.message.message_id == "m-1"


@pytest.mark.parametrize(
    "outcomes",
    [
        (UnreachableError("lost"), problem(403)),
        (problem(503), problem(401)),
        (problem(500),),
        (problem(503, {"retry-after": "60"}),),
    ],
)
def test_does_not_know_whether_it_was_done_if_it_is_refused_after_that_or_by_a_proxy(
    outcomes: tuple[Exception, ...],
) -> None:
    error = Play(*outcomes).failure()
    assert isinstance(error, UnreachableError)
    assert str(error).startswith("nobody knows whether the message was accepted: No: ")
    assert error.__cause__ is outcomes[-1]


def test_a_wait_is_cut_off_when_the_time_is_over() -> None:
    play = Play(accepted(), DONE, timeout=1.5)
    play.run()
    post, read = play.sent
    assert (post.operation.headers["Prefer"], post.timeout) == ("wait=1", 11)
    assert read.operation.headers["Prefer"] == "wait=2"
    assert 0 < read.timeout <= 1.5


@pytest.mark.parametrize("status", ["unanswered", "expired", "cancelled", "failed"])
def test_says_that_a_message_has_a_late_answer(status: str) -> None:
    late = message(status, answer=answered({"pages": 3}, late=True)["answer"])
    error = Play(models.Message.model_validate(late)).failure()
    assert isinstance(error, CallError)
    assert error.details.endswith("; it has answered late, which `answer` of the message shows")
    assert error.message.answer is not None
    assert error.message.answer.payload == {"pages": 3}


def test_reports_the_last_progress_at_the_end_unless_it_was_reported() -> None:
    progress = {"percent": 100, "details": None, "at": AT}
    ended = models.Message.model_validate(answered(1) | {"progress": progress})
    play = Play(accepted(), ended, progress=True)
    play.run()
    assert [one.percent for one in play.reported] == [100]
    assert not play.watched[0].news(play.reported[0])
