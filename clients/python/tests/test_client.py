"""Requests of both clients: what is sent, what is returned, and which error is raised."""

from __future__ import annotations

import json
import logging
import pickle
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest

from cloud_connector_client import (
    AsyncCloudConnector,
    CallError,
    CloudConnector,
    ProblemError,
    UnreachableError,
    models,
)
from cloud_connector_client._access import Access
from cloud_connector_client._durations import Duration
from cloud_connector_client._errors import problem_of
from cloud_connector_client._operation import Operation
from cloud_connector_client.generated import operations
from drivers import AsyncDriver, Driver
from service import (
    ACCEPTED,
    AT,
    Service,
    answered,
    connection,
    lost,
    message,
    progress_event,
    raw,
    refuse,
    reply,
    silent,
    status_event,
    stream,
)

EMPTY_PAGE: dict[str, Any] = {"data": [], "next_cursor": None}
SECRET = "key-that-nobody-sees"
NOBODY = "http://127.0.0.1:2"


def test_escapes_ids_leaves_out_what_is_absent_and_sends_the_token(driver: Driver, service: Service) -> None:
    service.answers = [reply(EMPTY_PAGE)]
    driver.options.update(base_url=f"{service.url}/prefix/", token="key")
    driver.run("list_messages", "a b?/é", status="sent", request_id="r2")
    (request,) = service.requests
    assert request.path == "/prefix/v1/connections/a%20b%3F%2F%C3%A9/messages?status=sent"
    assert (request.headers["authorization"], request.headers["x-request-id"]) == ("Bearer key", "r2")
    assert request.headers["content-type"] is None


@pytest.mark.parametrize("client_id", ["", ".", ".."])
def test_refuses_an_id_that_would_lead_to_another_path(driver: Driver, service: Service, client_id: str) -> None:
    with pytest.raises(ValueError, match="an id must not be empty"):
        driver.run("forget_connection", client_id)
    assert service.requests == []


def test_sends_durations_and_times_as_the_api_writes_them(driver: Driver, service: Service) -> None:
    off = reply({"client_id": "c", "refused_until": AT}, 202)
    service.answers = [reply(ACCEPTED, 202), off, off, off, reply(EMPTY_PAGE | {"looked_at": 0})]
    driver.run(
        "send_message", "c", "d", {"n": 2**70, "s": "é"}, ttl=timedelta(minutes=5), response_timeout=2.0, wait=10
    )
    for reconnect_after in (timedelta(seconds=1.25), "never", datetime(2030, 1, 1, tzinfo=timezone.utc)):
        driver.run("force_disconnect", "c", reconnect_after)
    since = datetime(2026, 11, 30, 7, tzinfo=timezone(timedelta(hours=1)))
    driver.run("search_messages", since=since, status=models.MessageStatus.SENT, limit=5)
    first, *disconnects, third = service.requests
    body = '{"directive":"d","payload":{"n":1180591620717411303424,"s":"é"},"ttl_seconds":300,"response_timeout_seconds":2}'
    assert first.body.decode() == body
    assert first.headers["prefer"] == "wait=10"
    expected = ["PT1.25S", "never", "2030-01-01T00:00:00.000Z"]
    assert [json.loads(request.body) for request in disconnects] == [{"reconnect_after": one} for one in expected]
    assert third.path == "/v1/messages?status=sent&since=2026-11-30T06%3A00%3A00.000Z&limit=5"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"ttl": -1}, "must be finite and not negative"),
        ({"ttl": float("nan")}, "must be finite and not negative"),
        ({"ttl": "1h"}, "a number of seconds or a timedelta, such as 3600 or timedelta.hours=1., not '1h'"),
        ({"ttl": 0.5}, "ttl must be a whole number of seconds from 1 to 2592000, not 0.5"),
        ({"ttl": 0}, "ttl must be a whole number of seconds from 1 to 2592000, not 0"),
        (
            {"response_timeout": timedelta(days=31)},
            "response_timeout must be .* to 2592000, not datetime.timedelta.days=31.",
        ),
        ({"wait": 61}, "wait must be a whole number of seconds from 1 to 60, not 61"),
        ({"timeout": 0}, r"timeout must be more than 0 and at most 2073600 s .24 days., not 0"),
        ({"timeout": 10**400}, "timeout must be finite and not negative"),
        ({"response_timeout": timedelta(milliseconds=1500)}, "must be a whole number of seconds"),
        ({"wait": 0.5}, "must be a whole number of seconds"),
        ({"payload": float("nan")}, "not JSON compliant"),
        ({"idempotency_key": "a\nb"}, "cannot be sent"),
    ],
)
def test_refuses_what_cannot_be_sent(driver: Driver, service: Service, arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        driver.run("send_message", "c", "d", **arguments)
    assert service.requests == []


@pytest.mark.parametrize(
    ("method", "arguments", "text"),
    [
        ("list_dead_letters", {"limit": 201}, "limit must be a whole number from 1 to 200, not 201"),
        ("list_connections", {"limit": 0.5}, "limit must be a whole number from 1 to 1000, not 0.5"),
        ("read_message", {"message_id": "m", "wait": 0}, "wait must be a whole number of seconds from 1 to 60, not 0"),
        (
            "wait",
            {"message_id": "m", "timeout": timedelta(days=61)},
            "timeout must be more than 0 and at most .* .60 days.",
        ),
        ("call", {"client_id": "c", "directive": "d", "timeout": timedelta(days=31)}, "timeout must be .* .30 days."),
        (
            "force_disconnect",
            {"client_id": "c", "reconnect_after": -1},
            "reconnect_after must be finite and not negative",
        ),
    ],
)
def test_names_the_argument_that_cannot_be_meant(
    driver: Driver, service: Service, method: str, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=text):
        driver.run(method, **arguments)
    assert service.requests == []


def test_refuses_a_time_without_time(driver: Driver, service: Service) -> None:
    with pytest.raises(ValueError, match=r"silence must be more than 0 and at most 2073600 s .24 days., not 0"):
        driver.take(1, "events", silence=0)
    driver.options.update(timeout=float("nan"))
    with pytest.raises(ValueError, match="timeout must be finite and not negative, not nan"):
        driver.run("whoami")
    assert service.requests == []


@pytest.mark.parametrize(
    ("method", "arguments", "text"),
    [
        (
            "send_message",
            {"ttl_seconds": 60},
            r"send_message.. has no argument 'ttl_seconds': use 'ttl', a number of seconds",
        ),
        (
            "send_message",
            {"response_timeout_seconds": 60},
            "use 'response_timeout', a number of seconds or a timedelta",
        ),
        ("call", {"timeout_ms": 500}, r"call.. has no argument 'timeout_ms': use 'timeout'"),
        ("wait", {"timeoutMs": 500}, "use 'timeout'"),
        ("call", {"idempotencyKey": "k"}, "did you mean 'idempotency_key'.$"),
        ("lift_refusal", {"body": 1}, "it takes client_id, timeout, request_id$"),
    ],
)
def test_names_the_argument_that_was_meant(
    driver: Driver, service: Service, method: str, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(TypeError, match=text):
        driver.run(method, "c", "d", **arguments)
    assert service.requests == []


def test_names_the_argument_that_was_meant_of_iterators_and_of_the_client(driver: Driver) -> None:
    with pytest.raises(TypeError, match=r"connections.. has no argument 'page_limit': did you mean 'limit'"):
        driver.take(1, "connections", page_limit=5)
    driver.options.update(timeout_seconds=5)
    with pytest.raises(TypeError, match=r"CloudConnector.. has no argument 'timeout_seconds': use 'timeout'"):
        driver.run("whoami")


def test_refuses_a_time_without_a_zone(driver: Driver) -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        driver.run("search_messages", since=datetime(2026, 11, 30))


@pytest.mark.parametrize(
    ("status", "kind", "detail", "headers", "remedy"),
    [
        (
            401,
            "unauthenticated",
            "send a key",
            {},
            "Set the token of the client to an API key or a token that the gateway knows.",
        ),
        (403, "forbidden", "these credentials do not have the scope a:read", {}, "Use a key that has this scope."),
        (403, "forbidden", "without credentials the API serves only this machine", {}, None),
        (503, "unavailable", "starting", {"retry-after": "2"}, "Try again in 2 s."),
        (404, "not-found", "this is not served here", {}, "Is the gateway older than this client?"),
        (404, "not-found", "no sweep is kept", {}, None),
    ],
)
def test_says_what_to_do_about_an_error(
    status: int, kind: str, detail: str, headers: dict[str, str], remedy: str | None
) -> None:
    problem = {
        "type": f"urn:x:{kind}",
        "title": "No",
        "status": status,
        "detail": detail,
        "instance": "/",
        "request_id": "r",
    }
    content = {"content-type": "application/problem+json"}
    error = problem_of(status, "No", headers | content, json.dumps(problem).encode(), "http://gateway", "/v1")
    assert error.remedy == remedy
    assert str(error) == f"No: {detail}" + (f". {remedy}" if remedy else "")
    assert pickle.loads(pickle.dumps(error)).remedy == remedy


def test_returns_the_model_of_the_status(driver: Driver, service: Service) -> None:
    service.answers = [reply(ACCEPTED, 202), reply(answered({"pages": 3})), raw(204, b"")]
    accepted = driver.run("send_message", "c", "d")
    assert isinstance(accepted, models.AcceptedMessage)
    final = driver.run("send_message", "c", "d", wait=5)
    assert isinstance(final, models.Message)
    assert final.answer is not None
    assert final.answer.payload == {"pages": 3}
    assert driver.run("cancel_message", "m-1") is None


def test_sends_a_batch_and_returns_its_results(driver: Driver, service: Service) -> None:
    service.answers = [reply({"results": [{"status": 202, "message": ACCEPTED}, {"status": 409}]})]
    batch = [
        models.BatchMessage(client_id="a", directive="d", when_offline=models.WhenOffline.REJECT),
        {"client_id": "b", "directive": "d", "payload": None},
    ]
    results = driver.run("send_messages", batch)
    assert [result.status for result in results] == [202, 409]
    expected = b'{"messages":[{"client_id":"a","directive":"d","when_offline":"reject"},{"client_id":"b","directive":"d","payload":null}]}'
    assert service.requests[0].body == expected


def test_iterates_over_all_pages(driver: Driver, service: Service) -> None:
    pages = [
        {"data": [connection("a"), connection("b")], "next_cursor": "2"},
        {"data": [], "next_cursor": "3"},
        {"data": [connection("c")], "next_cursor": None},
    ]
    service.answers = [reply(page) for page in pages]
    found = driver.take(9, "connections", state="online", held=True, limit=2)
    assert [one.client_id for one in found] == ["a", "b", "c"]
    query = "GET /v1/connections?state=online&held=true&limit=2"
    assert service.lines() == [query, f"{query}&cursor=2", f"{query}&cursor=3"]


def test_calls_an_operation_without_a_method(driver: Driver, service: Service) -> None:
    service.answers = [reply({"new": 1}), raw(204, b"")]
    assert driver.run("request", "POST", "/v2/new", {"a": None}) == {"new": 1}
    assert driver.run("request", "DELETE", "/v2/new") is None
    assert service.requests[0].body == b'{"a":null}'


def test_raises_a_problem_with_what_the_service_says(driver: Driver, service: Service) -> None:
    service.answers = [refuse(429, "outbox-full", {"retry-after": "7"})]
    with pytest.raises(ProblemError, match="No: why") as raised:
        driver.run("send_message", "a", "x")
    error = raised.value
    assert (error.status, error.kind, error.detail, error.request_id) == (429, "outbox-full", "why", "r1")
    assert (error.retry_after, error.errors) == (7.0, [])
    assert pickle.loads(pickle.dumps(error)).retry_after == 7.0


@pytest.mark.parametrize(
    ("header", "seconds"), [("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("soon", None), ("-1", None), ("3", 3.0)]
)
def test_reads_retry_after(driver: Driver, service: Service, header: str, seconds: float | None) -> None:
    service.answers = [refuse(503, "unavailable", {"retry-after": header})]
    with pytest.raises(ProblemError) as raised:
        driver.run("get_cluster")
    assert raised.value.retry_after == seconds


def test_raises_a_typed_error_for_an_answer_of_a_proxy(driver: Driver, service: Service) -> None:
    service.answers = [
        raw(502, b"<p>Bad", {"content-type": "text/html", "x-request-id": "r9"}),
        raw(500, b"<p>Bad", {"content-type": "application/problem+json"}),
        raw(302, b"", {"location": "http://127.0.0.1:2/"}),
    ]
    for status in (502, 500, 302):
        with pytest.raises(ProblemError) as raised:
            driver.run("get_cluster")
        assert (raised.value.status, raised.value.type, raised.value.retry_after) == (status, "about:blank", None)
    for body in (b"<p>Welcome", b"", b"{}", b"[]"):
        service.answers = [raw(200, body)]
        with pytest.raises(UnreachableError, match=f"{service.url} answered, but .* is it the address of a gateway"):
            driver.run("get_cluster")


def test_says_which_address_is_no_gateway(driver: Driver, service: Service) -> None:
    for status, text in (
        (404, f"{service.url} is not a gateway of Cloud Connector: it answered 404 without a problem document"),
        (502, f"{service.url} answered 502 without a problem document"),
        (400, f"{service.url} answered 400 without a problem document; is it https, not http?"),
    ):
        service.answers = [raw(status, b"<p>")]
        with pytest.raises(ProblemError) as raised:
            driver.run("get_cluster")
        assert raised.value.detail == text
    service.answers = [raw(200, b"<p>")]
    with pytest.raises(UnreachableError, match=f"{service.url} answered without an event stream"):
        driver.take(1, "events")


def test_says_that_a_server_without_tls_was_asked_with_https(driver: Driver, service: Service) -> None:
    url = service.url.replace("http:", "https:")
    driver.options.update(base_url=url)
    with pytest.raises(UnreachableError, match=f"{url} cannot be reached: .* is it http, not https?"):
        driver.run("get_cluster")


def test_raises_an_unreachable_error_without_an_answer_or_after_the_time_limit(
    driver: Driver, service: Service
) -> None:
    service.answers = [silent]
    with pytest.raises(UnreachableError, match="cannot be reached"):
        driver.run("get_cluster", timeout=0.05)
    with pytest.raises(UnreachableError, match="cannot be reached"):
        driver.run("get_cluster")
    driver.options.update(base_url=NOBODY)
    with pytest.raises(UnreachableError, match=NOBODY):
        driver.run("get_cluster")


@pytest.mark.parametrize("url", ["gateway", "ftp://gateway", "http://", "http://a?b=1", "http://user:pass@host"])
def test_refuses_what_is_no_address(driver: Driver, url: str) -> None:
    driver.options.update(base_url=url)
    with pytest.raises(ValueError, match="is not the address of a gateway"):
        driver.run("get_cluster")


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/prefix/v1"])
def test_refuses_an_address_with_the_version_of_the_api(driver: Driver, service: Service, path: str) -> None:
    driver.options.update(base_url=service.url + path)
    with pytest.raises(ValueError, match="must not end in /v1, which the client adds"):
        driver.run("get_cluster")


def test_says_that_a_token_is_empty(driver: Driver, service: Service, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("\n")
    for source in ({"token": ""}, {"token": None, "token_file": file}):
        driver.options.update(source)
        with pytest.raises(ValueError, match="the token is empty"):
            driver.run("get_cluster")
    assert service.requests == []


def test_reads_a_token_file_for_each_request(driver: Driver, service: Service, tmp_path: Path) -> None:
    service.answers = [refuse(401, "unauthorized"), refuse(401, "unauthorized")]
    file = tmp_path / "key"
    driver.options.update(token_file=file)
    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        with pytest.raises(ProblemError):
            driver.run("get_cluster")
    assert [request.headers["authorization"] for request in service.requests] == ["Bearer first", "Bearer second"]


def test_asks_a_function_for_the_token(driver: Driver, service: Service) -> None:
    async def token() -> str:
        return "later"

    service.answers = [refuse(401, "unauthorized"), refuse(401, "unauthorized")]
    driver.options.update(token=lambda: "now")
    with pytest.raises(ProblemError):
        driver.run("get_cluster")
    if isinstance(driver, AsyncDriver):
        driver.options.update(token=token)
        with pytest.raises(ProblemError):
            driver.run("get_cluster")
    expected = ["Bearer now", "Bearer later"][: len(service.requests)]
    assert [request.headers["authorization"] for request in service.requests] == expected


def test_takes_a_token_or_a_file(driver: Driver) -> None:
    driver.options.update(token="key", token_file="key")
    with pytest.raises(ValueError, match="not both"):
        driver.run("get_cluster")


def test_shows_the_token_nowhere(driver: Driver, service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    service.answers = [refuse(401, "unauthorized")]
    driver.options.update(token=SECRET)
    with pytest.raises(ProblemError) as refused:
        driver.run("get_cluster")
    assert service.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    driver.options.update(token=f"{SECRET}\n")
    with pytest.raises(ValueError, match="printable ASCII") as raised:
        driver.run("get_cluster")
    client = CloudConnector(NOBODY, token=SECRET)
    shown = [repr(client), repr(vars(client)), repr(vars(client._access)), repr(refused.value), str(raised.value)]
    assert [text for text in [*shown, caplog.text] if SECRET in text] == []
    client.close()


def test_uses_an_http_client_and_leaves_it_open() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=connection(request.url.path[-1])))
    with httpx.Client(transport=transport, verify=False) as http_client:
        with CloudConnector("http://gateway", http_client=http_client) as connector:
            assert connector.get_connection("x").client_id == "x"
        assert not http_client.is_closed
    own = CloudConnector(NOBODY, verify=False)
    own.close()
    assert own._http.is_closed


def test_an_old_client_reads_what_a_newer_service_says(driver: Driver, service: Service) -> None:
    service.answers = [reply(connection("a", type="robot", state="asleep", mood={"level": 3}))]
    found = driver.run("get_connection", "a")
    assert (found.type, found.state) == ("robot", "asleep")
    assert isinstance(found.state, models.ConnectionState)
    assert f"{found.state}" == "asleep"
    assert found.model_extra == {"mood": {"level": 3}}
    assert models.ConnectionState("asleep") == found.state
    assert found.model_dump(mode="json")["state"] == "asleep"


def test_a_member_of_a_request_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        models.BatchMessage(client_id="a", directive="d", ttl=5)  # type: ignore[call-arg]


def test_call_sends_and_returns_the_payload(driver: Driver, service: Service) -> None:
    service.answers = [lost, reply(ACCEPTED, 202), reply(answered({"pages": 3}))]
    assert driver.run("call", "printer", "print", timeout=timedelta(seconds=90)) == {"pages": 3}
    keys = {request.headers["idempotency-key"] for request in service.requests[:2]}
    assert len(keys) == 1
    assert service.lines()[1:] == ["POST /v1/connections/printer/messages", "GET /v1/messages/m-1"]


def test_call_raises_what_the_client_says(driver: Driver, service: Service) -> None:
    service.answers = [reply(message("failed"))]
    with pytest.raises(CallError, match="out of paper") as raised:
        driver.run("call", "printer", "print", {"pages": 1})
    assert pickle.loads(pickle.dumps(raised.value)).details == "out of paper"


def test_call_reports_the_progress_of_its_message(driver: Driver, service: Service) -> None:
    events = [progress_event("1", "m-1", 50), progress_event("2", "m-2", 60), progress_event("3", "m-1", 75)]
    service.answers = [
        reply(ACCEPTED, 202),
        stream(*events, status_event("4", "m-1", "answered"), end="stay"),
        # Read as soon as the stream is open, after the status, and at the end of the call.
        reply(message("in_flight")),
        reply(answered(1)),
        reply(answered(1)),
    ]
    percents: list[float | None] = []
    assert driver.run("call", "printer", "print", on_progress=lambda event: percents.append(event.percent)) == 1
    assert percents == [50, 75]
    query = "types=message.progress%2Cmessage.status&client_id=printer"
    assert service.lines()[1:3] == [f"GET /v1/events?{query}", "GET /v1/messages/m-1"]


@pytest.mark.parametrize("answer", [refuse(403, "forbidden"), lost])
def test_call_waits_for_its_answer_without_events(driver: Driver, service: Service, answer: Any) -> None:
    service.answers = [reply(ACCEPTED, 202), answer, reply(answered(1))]
    assert driver.run("call", "printer", "print", on_progress=pytest.fail) == 1


def test_call_goes_on_when_its_time_for_progress_is_over(driver: Driver, service: Service) -> None:
    service.answers = [reply(ACCEPTED, 202), stream(end="stay"), reply(message("sent", response_deadline=AT))]
    service.answers += [reply(message("held"))]
    with pytest.raises(CallError, match="because the client is offline"):
        driver.run("call", "printer", "print", timeout=0.3, on_progress=pytest.fail)


def test_a_message_is_read_for_its_progress_only_as_long_as_the_call_has_time(
    driver: Driver, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []
    within = Access.limit

    def limit(access: Access, operation: Operation[Any], timeout: Duration | None) -> float:
        limits.append(within(access, operation, timeout))
        return limits[-1]

    monkeypatch.setattr(Access, "limit", limit)
    service.answers = [reply(ACCEPTED, 202), stream(end="stay"), reply(answered(1)), reply(answered(1))]
    assert driver.run("call", "printer", "print", timeout=20, on_progress=pytest.fail) == 1
    (read,) = limits
    assert 0 < read <= 20


def test_what_the_function_for_progress_raises_ends_the_call(driver: Driver, service: Service) -> None:
    def stop(_: models.MessageProgressEvent) -> None:
        raise TimeoutError("enough")

    service.answers = [
        reply(ACCEPTED, 202),
        stream(progress_event("1", "m-1", 50), end="stay"),
        reply(message("in_flight")),
    ]
    with pytest.raises(TimeoutError, match="enough"):
        driver.run("call", "printer", "print", on_progress=stop)


def test_a_function_for_progress_may_be_async(service: Service) -> None:
    percents: list[float | None] = []

    async def report(event: models.MessageProgressEvent) -> None:
        percents.append(event.percent)

    service.answers = [
        reply(ACCEPTED, 202),
        stream(progress_event("1", "m-1", 50), status_event("2", "m-1", "answered"), end="stay"),
        reply(message("in_flight")),
        *([reply(answered(1))] * 2),
    ]
    assert AsyncDriver(service.url).run("call", "printer", "print", on_progress=report) == 1
    assert percents == [50]


def test_both_clients_have_the_same_methods() -> None:
    def names(kind: type) -> set[str]:
        return {name.removeprefix("a") if name == "aclose" else name for name in dir(kind) if not name.startswith("_")}

    assert names(CloudConnector) == names(AsyncCloudConnector)


def test_call_reports_the_last_progress_at_the_end_without_events(driver: Driver, service: Service) -> None:
    progress = {"percent": 100, "details": "done", "at": AT}
    service.answers = [reply(ACCEPTED, 202), refuse(403, "forbidden"), reply(answered(1) | {"progress": progress})]
    seen: list[models.MessageProgress] = []
    assert driver.run("call", "printer", "print", on_progress=seen.append) == 1
    assert [(one.percent, one.details) for one in seen] == [(100, "done")]


def test_call_ends_when_its_time_is_over_in_the_middle_of_a_wait(driver: Driver, service: Service) -> None:
    service.answers = [reply(ACCEPTED, 202), silent, reply(message("sent", response_deadline=AT))]
    with pytest.raises(CallError) as raised:
        driver.run("call", "printer", "print", timeout=1)
    assert (raised.value.status, raised.value.details) == ("sent", "no answer within 1 s")
    assert [one.headers["prefer"] for one in service.requests] == [None, "wait=1", None]


def test_refuses_a_wait_that_would_be_cut_off(driver: Driver, service: Service) -> None:
    with pytest.raises(ValueError, match="timeout must be more than the 10 s of wait, not 2 s"):
        driver.run("read_message", "m-1", wait=10, timeout=2)
    assert service.requests == []


def test_the_default_time_of_a_request_grows_with_its_wait() -> None:
    def limits(timeout: Duration | None) -> list[float]:
        access = Access("http://gateway", None, None, timeout)
        return [access.limit(operations.read_message("m-1", wait=wait), None) for wait in (None, 20, 60)]

    assert limits(None) == [30, 30, 70]
    with pytest.raises(ValueError, match="timeout must be more than the 60 s of wait, not 30 s"):
        limits(30)


def test_says_for_how_long_it_has_waited(driver: Driver, service: Service) -> None:
    service.answers = [silent]
    with pytest.raises(UnreachableError, match=r"cannot be reached: no answer within 0\.2 s; is the gateway running"):
        driver.run("whoami", timeout=0.2)


def test_times_of_the_messages_of_a_batch_follow_the_rules_of_one_message(driver: Driver, service: Service) -> None:
    service.answers = [reply({"results": []})]
    common: dict[str, Any] = {"client_id": "printer", "directive": "print"}
    times: list[dict[str, Any]]
    times = [{"ttl": timedelta(minutes=5), "response_timeout": 2.0}, {"ttl_seconds": timedelta(hours=1)}, {"ttl": None}]
    driver.run("send_messages", [common | one for one in times])
    expected: list[dict[str, Any]]
    expected = [{"ttl_seconds": 300, "response_timeout_seconds": 2}, {"ttl_seconds": 3600}, {}]
    assert json.loads(service.requests[0].body) == {"messages": [common | one for one in expected]}
    with pytest.raises(ValueError, match=r"messages\[1\]\.ttl must be a whole number of seconds from 1 to"):
        driver.run("send_messages", [common, common | {"ttl": 0.5}])
    assert len(service.requests) == 1
